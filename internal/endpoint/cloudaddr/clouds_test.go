package cloudaddr_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/endpoint/cloudapi"
	"github.com/baton-db/baton/internal/endpoint/cloudapi/cloudtest"
	"github.com/baton-db/baton/internal/endpoint/sign"
)

// The IDs by which the clouds know the nodes. Nobody is an instance that is no node's.
const (
	db1I, db2I, nobodyI = "i-0db1", "i-0db2", "i-0nobody"
	db1E, db2E, nobodyE = "eni-0db1", "eni-0db2", "eni-0nobody"
)

func access(at, secret string) cloudapi.Access {
	return cloudapi.Access{URL: at, Keys: cloudapi.Fixed(sign.Keys{ID: cloudtest.ID, Secret: secret})}
}

// world is what a cloud has of one address. Its server's lock guards it.
type world struct {
	at      []string // who has it; for a route, for each table
	waiting int      // looks until an order is carried out
	order   func()   // what is under way
	state   string   // what that is called meanwhile
	black   bool     // the route's target is not there
	member  []string // who may have a HAVIP of Tencent's
	checks  bool     // and whether that is looked at
	changes int
}

// look carries out an order that has been under way for long enough.
func (w *world) look() {
	if w.order == nil {
		return
	}
	if w.waiting--; w.waiting <= 0 {
		w.order()
		w.order, w.state = nil, ""
	}
}

// begin puts an order under way, which is carried out at the second look after it.
func (w *world) begin(state string, do func()) {
	w.changes++
	w.state, w.order, w.waiting = state, do, 2
}

func ec2Fault(status int, code, message string) cloudtest.Answer {
	return cloudtest.Answer{Status: status, Body: fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>ea96</RequestID></Response>`, code, message)}
}

func ec2Answer(action, inner string) cloudtest.Answer {
	return cloudtest.Answer{Body: `<?xml version="1.0" encoding="UTF-8"?><` + action + `Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>59db</requestId>` + inner + `</` + action + `Response>`}
}

const (
	allocation = "eipalloc-0a1b"
	private    = "10.77.0.100"
	addressV4  = "10.99.0.1/32"
)

var tables = []string{"rtb-1", "rtb-2"}

// ec2 is https://docs.aws.amazon.com/AWSEC2/latest/APIReference, as far as it is used.
func ec2(t *testing.T, w *world) *cloudtest.Server {
	return cloudtest.Start(t, cloudtest.Vendor{
		Signed: cloudtest.AWS("ec2", "eu-central-1"),
		Refuse: func(error) cloudtest.Answer {
			return ec2Fault(401, "AuthFailure", "AWS was not able to validate the provided access credentials")
		},
		Action: func(_ *http.Request, body []byte) string {
			q, _ := url.ParseQuery(string(body))
			return q.Get("Action")
		},
		Answer: func(_ *http.Request, body []byte) cloudtest.Answer {
			q, err := url.ParseQuery(string(body))
			if err != nil || q.Get("Version") != "2016-11-15" {
				return ec2Fault(400, "InvalidParameterValue", "bad request")
			}
			action := q.Get("Action")
			id := q.Get("InstanceId") + q.Get("NetworkInterfaceId")
			switch action {
			case "DescribeAddresses":
				if q.Get("AllocationId.1") != allocation {
					return ec2Fault(400, "InvalidAllocationID.NotFound", "The allocation ID '"+q.Get("AllocationId.1")+"' does not exist")
				}
				item := "<publicIp>203.0.113.7</publicIp><allocationId>" + allocation + "</allocationId><domain>vpc</domain>"
				for _, at := range w.at {
					item += "<instanceId>" + at + "</instanceId><associationId>eipassoc-1</associationId><networkInterfaceId>" + strings.Replace(at, "i-", "eni-", 1) + "</networkInterfaceId>"
				}
				return ec2Answer(action, "<addressesSet><item>"+item+"</item></addressesSet>")
			case "AssociateAddress":
				if len(w.at) > 0 && q.Get("AllowReassociation") != "true" {
					return ec2Fault(400, "Resource.AlreadyAssociated", "resource "+allocation+" is already associated")
				}
			case "DescribeNetworkInterfaces":
				if q.Get("Filter.1.Name") != "addresses.private-ip-address" || q.Get("Filter.1.Value.1") != private {
					return ec2Fault(400, "InvalidParameterValue", "bad filter")
				}
				var items string
				for _, at := range append([]string{"eni-0elsewhere"}, w.at...) { // one in another network has the same address
					items += "<item><networkInterfaceId>" + at + "</networkInterfaceId><subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId></item>"
				}
				return ec2Answer(action, "<networkInterfaceSet>"+items+"</networkInterfaceSet>")
			case "AssignPrivateIpAddresses":
				if len(w.at) > 0 && q.Get("AllowReassignment") != "true" || q.Get("PrivateIpAddress.1") != private {
					return ec2Fault(400, "InvalidParameterValue", "already assigned")
				}
			case "DescribeRouteTables":
				return ec2Answer(action, "<routeTableSet>"+ec2Tables(w, q)+"</routeTableSet>")
			case "ReplaceRoute", "CreateRoute":
				return ec2Route(w, q, id)
			default:
				return ec2Fault(400, "InvalidAction", "The action "+action+" is not valid for this web service.")
			}
			w.changes++
			w.at = []string{id}
			return ec2Answer(action, "<return>true</return>")
		},
	})
}

// ec2Tables are the tables in another order than they were asked for.
func ec2Tables(w *world, q url.Values) string {
	var items string
	for i := range slices.Backward(tables) {
		if q.Get("RouteTableId.1") != tables[i] && q.Get("RouteTableId.2") != tables[i] {
			continue
		}
		routes := "<item><destinationCidrBlock>10.77.0.0/16</destinationCidrBlock><gatewayId>local</gatewayId><state>active</state></item>"
		if at := w.at[i]; at != "" {
			state := "active"
			if w.black {
				state = "blackhole"
			}
			routes += "<item><destinationCidrBlock>" + addressV4 + "</destinationCidrBlock><networkInterfaceId>" + at + "</networkInterfaceId><state>" + state + "</state></item>"
		}
		items += "<item><routeTableId>" + tables[i] + "</routeTableId><routeSet>" + routes + "</routeSet></item>"
	}
	return items
}

func ec2Route(w *world, q url.Values, id string) cloudtest.Answer {
	action, i := q.Get("Action"), slices.Index(tables, q.Get("RouteTableId"))
	switch {
	case i < 0 || q.Get("DestinationCidrBlock") != addressV4:
		return ec2Fault(400, "InvalidRouteTableID.NotFound", "The routeTable ID does not exist")
	case w.at[i] == "" && action == "ReplaceRoute":
		return ec2Fault(400, "InvalidRoute.NotFound", "There is no route defined for '"+addressV4+"' in the route table.")
	case w.at[i] != "" && action == "CreateRoute":
		return ec2Fault(400, "RouteAlreadyExists", "The route identified by "+addressV4+" already exists.")
	}
	w.changes++
	w.at[i] = id
	return ec2Answer(action, "<return>true</return>")
}

func aliyunFault(status int, code, message string) cloudtest.Answer {
	return cloudtest.Answer{Status: status, Body: fmt.Sprintf(`{"RequestId":"4EC4","HostId":"vpc.aliyuncs.com","Code":%q,"Message":%q}`, code, message)}
}

// aliyun is https://www.alibabacloud.com/help/en/vpc/developer-reference/api-vpc-2016-04-28-overview,
// as far as it is used: orders are carried out later.
func aliyun(t *testing.T, w *world) *cloudtest.Server {
	return cloudtest.Start(t, cloudtest.Vendor{
		Signed: cloudtest.Aliyun,
		Refuse: func(why error) cloudtest.Answer {
			return aliyunFault(400, "SignatureDoesNotMatch", "Specified signature does not match our calculation.")
		},
		Action: func(r *http.Request, _ []byte) string { return r.Header.Get("X-Acs-Action") },
		Answer: func(r *http.Request, _ []byte) cloudtest.Answer {
			q := r.URL.Query()
			if r.Header.Get("X-Acs-Version") != "2016-04-28" || q.Get("RegionId") != "cn-hangzhou" {
				return aliyunFault(400, "InvalidRegionId.NotFound", "The specified region is not found.")
			}
			action, id := r.Header.Get("X-Acs-Action"), q.Get("InstanceId")
			wantType := "EcsInstance"
			if strings.HasPrefix(id, "eni-") {
				wantType = "NetworkInterface"
			}
			if id != "" && q.Get("InstanceType") != wantType {
				return aliyunFault(400, "InvalidInstanceType.ValueNotSupported", "The specified value of InstanceType is not supported.")
			}
			switch action {
			case "DescribeEipAddresses":
				return aliyunEIP(w, q.Get("AllocationId"))
			case "DescribeHaVips":
				return aliyunHAVIP(w, q.Get("Filter.1.Value.1"))
			case "AssociateEipAddress":
				if w.order != nil || len(w.at) > 0 {
					return aliyunFault(400, "IncorrectEipStatus", "Current elastic IP status does not support this operation.")
				}
				w.begin("Associating", func() { w.at = []string{id} })
			case "UnassociateEipAddress", "UnassociateHaVip":
				if w.order != nil || !slices.Contains(w.at, id) {
					return aliyunFault(400, "IncorrectEipStatus", "Current elastic IP status does not support this operation.")
				}
				w.begin("Unassociating", func() { w.at = slices.DeleteFunc(w.at, func(at string) bool { return at == id }) })
			case "AssociateHaVip":
				if w.order != nil {
					return aliyunFault(400, "IncorrectHaVipStatus", "This operation is denied because status of the specified HaVip is neither Available nor InUse.")
				}
				if len(w.at) >= 2 || slices.Contains(w.at, id) {
					return aliyunFault(400, "QuotaExceeded.HaVipInstance", "too many instances")
				}
				w.begin("Associating", func() { w.at = append(w.at, id) })
			}
			return cloudtest.Answer{Body: `{"RequestId":"4EC4"}`}
		},
	})
}

func aliyunStatus(w *world) string {
	switch {
	case w.state != "":
		return w.state
	case len(w.at) > 0:
		return "InUse"
	}
	return "Available"
}

func aliyunEIP(w *world, id string) cloudtest.Answer {
	w.look()
	all := []map[string]string{}
	if id == "eip-1" {
		e := map[string]string{"AllocationId": id, "IpAddress": "203.0.113.7", "Status": aliyunStatus(w), "InstanceId": "", "InstanceType": ""}
		if len(w.at) > 0 {
			e["InstanceId"], e["InstanceType"] = w.at[0], "EcsInstance"
		}
		all = append(all, e)
	}
	text, _ := json.Marshal(map[string]any{"TotalCount": len(all), "EipAddresses": map[string]any{"EipAddress": all}})
	return cloudtest.Answer{Body: string(text)}
}

func aliyunHAVIP(w *world, id string) cloudtest.Answer {
	w.look()
	all := []map[string]any{}
	if id == "havip-1" {
		all = append(all, map[string]any{"HaVipId": id, "IpAddress": private, "Status": aliyunStatus(w), "AssociatedInstances": map[string]any{"associatedInstance": w.at}, "AssociatedInstanceType": "EcsInstance"})
	}
	text, _ := json.Marshal(map[string]any{"TotalCount": len(all), "HaVips": map[string]any{"HaVip": all}})
	return cloudtest.Answer{Body: string(text)}
}

func tencentFault(code, message string) cloudtest.Answer {
	return cloudtest.Answer{Body: fmt.Sprintf(`{"Response":{"Error":{"Code":%q,"Message":%q},"RequestId":"1c2d"}}`, code, message)}
}

// tencent is https://cloud.tencent.com/document/api/215, as far as it is used.
func tencent(t *testing.T, w *world) *cloudtest.Server {
	return cloudtest.Start(t, cloudtest.Vendor{
		Signed: cloudtest.Tencent("vpc"),
		Refuse: func(error) cloudtest.Answer {
			return tencentFault("AuthFailure.SignatureFailure", "The provided credentials could not be validated.")
		},
		Action: func(r *http.Request, _ []byte) string { return r.Header.Get("X-Tc-Action") },
		Answer: func(r *http.Request, body []byte) cloudtest.Answer {
			var q struct {
				HaVipIds            []string
				HaVipAssociationSet []struct{ HaVipId, InstanceId, InstanceType string }
			}
			if err := json.Unmarshal(body, &q); err != nil || r.Header.Get("X-Tc-Version") != "2017-03-12" || r.Header.Get("X-Tc-Region") != "ap-guangzhou" {
				return tencentFault("InvalidParameter", "bad request")
			}
			if r.Header.Get("X-Tc-Action") == "AssociateHaVipInstance" {
				a := q.HaVipAssociationSet[0]
				if a.HaVipId != "havip-1" || a.InstanceType != "CVM" {
					return tencentFault("InvalidParameterValue", "bad association")
				}
				w.changes++
				w.member = append(w.member, a.InstanceId)
				return cloudtest.Answer{Body: `{"Response":{"RequestId":"1c2d"}}`}
			}
			if !slices.Equal(q.HaVipIds, []string{"havip-1"}) {
				return tencentFault("ResourceNotFound", "The resource is not found: "+strings.Join(q.HaVipIds, ","))
			}
			w.look()
			v := map[string]any{"HaVipId": "havip-1", "Vip": private, "State": "UNBIND", "InstanceId": "", "NetworkInterfaceId": "", "CheckAssociate": w.checks}
			var set []map[string]string
			for _, m := range w.member {
				set = append(set, map[string]string{"HaVipId": "havip-1", "InstanceId": m, "InstanceType": "CVM"})
			}
			v["HaVipAssociationSet"] = set
			if len(w.at) > 0 {
				v["State"], v["InstanceId"], v["NetworkInterfaceId"] = "AVAILABLE", w.at[0], "eni-of-"+w.at[0]
			}
			text, _ := json.Marshal(map[string]any{"Response": map[string]any{"TotalCount": 1, "HaVipSet": []any{v}, "RequestId": "1c2d"}})
			return cloudtest.Answer{Body: string(text)}
		},
	})
}
