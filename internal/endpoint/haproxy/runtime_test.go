package haproxy

import "testing"

// TestWhatPeopleAreToldDoesNotChangeWithEveryCheck: only with what HAProxy decides.
func TestWhatPeopleAreToldDoesNotChangeWithEveryCheck(t *testing.T) {
	for name, tt := range map[string]struct{ status, check, code, said, want string }{
		"it is up":                              {"UP", "L7OK", "200", "", "UP (L7OK/200)"},
		"it is up, and the check has read":      {"UP", "L7OK", "0", "11.4.2-MariaDB, 4711 sessions", "UP (L7OK/0)"},
		"it is up, and a check is under way":    {"UP", "* L4OK", "", "", "UP (L4OK)"},
		"the last check has failed":             {"UP 2/3", "L4TOUT", "", "", ""},
		"it is down":                            {"DOWN", "L4CON", "", "Connection refused", "DOWN (L4CON, Connection refused)"},
		"it is down, and a check has gone well": {"DOWN 1/2", "L4OK", "", "", "DOWN 1/2 (L4OK)"},
		"nobody checks it":                      {"no check", "", "", "", "no check"},
		"nothing is known":                      {"", "", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			servers := map[string]server{"db1": {name: "db1"}}
			addFindings(servers, "# pxname,svname,status,check_status,check_code,last_chk,\nshop,db1,"+tt.status+","+tt.check+","+tt.code+",\""+tt.said+"\",\n")
			if got := servers["db1"].finds.steady(); got != tt.want {
				t.Errorf("it tells %q, want %q", got, tt.want)
			}
		})
	}
}

// TestWhatTheLastCheckMetIsSaidWhileTheNextIsUnderWay: HAProxy forgets it when that begins.
func TestWhatTheLastCheckMetIsSaidWhileTheNextIsUnderWay(t *testing.T) {
	refused := finding{status: "DOWN", check: "L4CON", said: "Connection refused"}
	for name, tt := range map[string]struct {
		f    finding
		want string
	}{
		"the next one is under way":       {finding{status: "DOWN", check: "L4CON", busy: true}, "DOWN (L4CON, Connection refused)"},
		"it has come, and says nothing":   {finding{status: "DOWN", check: "L4CON"}, "DOWN (L4CON)"},
		"it has come, and says otherwise": {finding{status: "DOWN", check: "L4CON", said: "No route to host"}, "DOWN (L4CON, No route to host)"},
		"another one was the last":        {finding{status: "DOWN", check: "L4TOUT", busy: true}, "DOWN (L4TOUT)"},
		"it is up by now":                 {finding{status: "UP", check: "L4CON", busy: true}, "UP (L4CON)"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.f.or(refused).String(); got != tt.want {
				t.Errorf("it is %q, want %q", got, tt.want)
			}
		})
	}
}
