package reach

// Known is a time that devices and systems between and at the clients usually take.
// None of it can be measured from a database's host.
type Known struct {
	Who    string `json:"who"`
	What   string `json:"what"`
	Takes  string `json:"takes"`
	Advice string `json:"advice"`
	Source string `json:"source"`
}

// Usual are the times that are known of others by their documentation, as advice.
func Usual() []Known {
	return []Known{
		{"switches", "where a MAC address is (MAC table)", "300 s", "Baton's announcement teaches every switch on its way at once; port security that pins a MAC to a port keeps a virtual MAC from moving",
			"IEEE 802.1D-2004, table 7-5; Cisco, \"mac address-table aging-time\""},
		{"switches with spanning tree", "a port whose link comes up forwards nothing", "30 s (twice a forward delay of 15 s)", "make ports of hosts edge ports (portfast): otherwise a host that restarts or whose link flaps is cut off for so long, announcements included",
			"IEEE 802.1D-1998, 8.10.2; 802.1D-2004, 17.14 (recommended forward delay 15 s)"},
		{"routers: Cisco IOS", "ARP entry", "4 h", "an announcement changes it at once, unless dynamic ARP inspection or a static entry keeps it out",
			"Cisco IOS IP Addressing Services Command Reference, \"arp timeout\" (14400 s)"},
		{"routers: Arista EOS, Nokia SR/SAR", "ARP entry", "4 h", "the same", "Arista EOS manual, \"arp aging timeout\"; Nokia 7705 SAR, \"arp-timeout\" (14400 s)"},
		{"routers: Juniper", "ARP entry", "20 min (± 25 %)", "the same",
			"Junos OS, \"Adjusting the ARP Aging Timer\"; Juniper KB19396"},
		{"routers: Huawei, HPE Comware", "ARP entry", "20 min", "the same", "Huawei, \"arp expire-time\" (1200 s); HPE, \"arp timer aging\" (20 min)"},
		{"Windows since Vista and 2008", "ARP and neighbour entries", "15 to 45 s while unused, and no end while TCP says that it gets on", "Windows 8 and 2012 and later heed announcements; Vista, 7, 2008 and 2008 R2 ignored them without a hotfix: there, a virtual MAC",
			"Microsoft KB949589; Microsoft Networking Blog, \"Gratuitous ARP and DAD in Windows XP, Windows 7/Vista, Windows 8\" (2013)"},
		{"Windows", "idle connection to a host that is gone", "never; with keepalive 2 h, then a probe every second", "switch keepalive on in the connector, with 10 s or so (SIO_KEEPALIVE_VALS)",
			"Microsoft, \"KeepAliveTime\", \"KeepAliveInterval\""},
		{"macOS and the BSDs", "ARP entry", "20 min", "an announcement changes it at once; without one, only `arp -d` does", "arp(4), net.link.ether.inet.max_age (1200 s)"},
		{"macOS and the BSDs", "idle connection to a host that is gone", "never; with keepalive 2 h, then 8 probes 75 s apart", "switch keepalive on in the connector, with 10 s or so", "tcp(4), net.inet.tcp.keepidle, keepintvl, keepcnt"},
		{"Linux clients", "idle connection to a host that is gone", "never; with keepalive 2 h 11 min by default", "tcp_keepalive_time, or the connector's own; TCP_USER_TIMEOUT for what waits for an answer", "tcp(7)"},
		{"any client that connects", "a connect that meets silence", "1 s, then 2, 4 …", "Baton's gate refuses instead of being silent, and a planned move leaves no gap; a host that is gone is silent until the address has moved", "RFC 6298, 2.1"},
		{"load balancers of clouds", "idle connection forgotten", "350 s (AWS NLB), 4 min (Azure)", "keepalive of less than that on the clients", "AWS, \"Network Load Balancers\"; Azure Load Balancer, \"TCP reset and idle timeout\""},
		{"pools and connectors", "connections made before the switch", "until they are used", "Connector/J: tcpKeepAlive=true, socketTimeout; go-sql-driver: keepalive is on, readTimeout; libmysqlclient: MYSQL_OPT_READ_TIMEOUT; a pool's test before use and maximum lifetime", "documentation of each"},
	}
}
