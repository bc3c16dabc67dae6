package cloudaddr

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/baton-db/baton/internal/endpoint/cloudapi"
)

// onAWS names an instance or an interface in a request.
func onAWS(params url.Values, id string) url.Values {
	if strings.HasPrefix(id, "eni-") {
		params.Set("NetworkInterfaceId", id)
	} else {
		params.Set("InstanceId", id)
	}
	return params
}

// ElasticIP is an Elastic IP address of AWS, which leads to an instance or an interface.
type ElasticIP struct {
	cloudapi.AWS
	Allocation string
}

// Holders implements Address.
func (a *ElasticIP) Holders(ctx context.Context) ([]Holder, error) {
	var answer struct {
		Items []struct {
			PublicIP  string `xml:"publicIp"`
			Instance  string `xml:"instanceId"`
			Interface string `xml:"networkInterfaceId"`
		} `xml:"addressesSet>item"`
	}
	if err := a.EC2(ctx, "DescribeAddresses", url.Values{"AllocationId.1": {a.Allocation}}, &answer); err != nil {
		return nil, err
	}
	if len(answer.Items) != 1 {
		return nil, missing("Elastic IP", a.Allocation)
	}
	i := answer.Items[0]
	return []Holder{{Part: i.PublicIP, IDs: present(i.Instance, i.Interface)}}, nil
}

// Move implements Address.
func (a *ElasticIP) Move(ctx context.Context, id string, _ []Holder) error {
	return a.EC2(ctx, "AssociateAddress", onAWS(url.Values{"AllocationId": {a.Allocation}, "AllowReassociation": {"true"}}, id), nil)
}

// SecondaryIP is a secondary private address of AWS, IPv4, which belongs to an interface.
type SecondaryIP struct {
	cloudapi.AWS
	Address netip.Addr
	// Nodes are the nodes' interfaces: the same address may belong to others in
	// another network.
	Nodes []string
}

// Holders implements Address.
func (a *SecondaryIP) Holders(ctx context.Context) ([]Holder, error) {
	var answer struct {
		Items []struct {
			Interface string `xml:"networkInterfaceId"`
			Network   string `xml:"vpcId"`
		} `xml:"networkInterfaceSet>item"`
	}
	ask := url.Values{"Filter.1.Name": {"addresses.private-ip-address"}, "Filter.1.Value.1": {a.Address.String()}}
	if err := a.EC2(ctx, "DescribeNetworkInterfaces", ask, &answer); err != nil {
		return nil, err
	}
	h := Holder{Part: a.Address.String()}
	for _, i := range answer.Items {
		for _, ours := range a.Nodes {
			if i.Interface == ours {
				return []Holder{{Part: h.Part, IDs: []string{ours}}}, nil
			}
		}
		h.Odd = fmt.Sprintf("belongs to %s in %s, which is no node's", i.Interface, i.Network)
	}
	return []Holder{h}, nil
}

// Move implements Address.
func (a *SecondaryIP) Move(ctx context.Context, id string, _ []Holder) error {
	return a.EC2(ctx, "AssignPrivateIpAddresses", url.Values{"NetworkInterfaceId": {id}, "PrivateIpAddress.1": {a.Address.String()}, "AllowReassignment": {"true"}}, nil)
}

// Route is an entry of route tables of AWS, which leads to an instance or an interface.
type Route struct {
	cloudapi.AWS
	Destination netip.Prefix
	Tables      []string
}

// destination is the key of the destination in requests.
func (a *Route) destination() string {
	if a.Destination.Addr().Is6() {
		return "DestinationIpv6CidrBlock"
	}
	return "DestinationCidrBlock"
}

type awsTable struct {
	ID     string     `xml:"routeTableId"`
	Routes []awsRoute `xml:"routeSet>item"`
}

type awsRoute struct {
	V4        string `xml:"destinationCidrBlock"`
	V6        string `xml:"destinationIpv6CidrBlock"`
	Instance  string `xml:"instanceId"`
	Interface string `xml:"networkInterfaceId"`
	Gateway   string `xml:"gatewayId"`
	NAT       string `xml:"natGatewayId"`
	Transit   string `xml:"transitGatewayId"`
	Peering   string `xml:"vpcPeeringConnectionId"`
	State     string `xml:"state"`
}

// Holders implements Address: each table is a part.
func (a *Route) Holders(ctx context.Context) ([]Holder, error) {
	var answer struct {
		Tables []awsTable `xml:"routeTableSet>item"`
	}
	ask := url.Values{}
	for i, t := range a.Tables {
		ask.Set("RouteTableId."+strconv.Itoa(i+1), t)
	}
	if err := a.EC2(ctx, "DescribeRouteTables", ask, &answer); err != nil {
		return nil, err
	}
	var all []Holder
	for _, id := range a.Tables {
		i := slices.IndexFunc(answer.Tables, func(t awsTable) bool { return t.ID == id })
		if i < 0 {
			return nil, missing("route table", id)
		}
		all = append(all, a.holder(answer.Tables[i]))
	}
	return all, nil
}

// holder says where the route in one table leads.
func (a *Route) holder(t awsTable) Holder {
	h := Holder{Part: fmt.Sprintf("the route %s in %s", a.Destination, t.ID)}
	for _, r := range t.Routes {
		if p, err := netip.ParsePrefix(r.V4 + r.V6); err != nil || p != a.Destination {
			continue
		}
		h.IDs = present(r.Instance, r.Interface, r.Gateway, r.NAT, r.Transit, r.Peering)
		if r.State == "blackhole" {
			h.Busy = fmt.Sprintf("leads to %s and is a black hole: that is detached, or its instance is not running", strings.Join(h.IDs, ", "))
		}
	}
	return h
}

// Move implements Address. A table that refuses does not keep the others.
func (a *Route) Move(ctx context.Context, id string, have []Holder) error {
	var errs []error
	for i, h := range have {
		if h.is(id) {
			continue
		}
		action := "ReplaceRoute"
		if len(h.IDs) == 0 {
			action = "CreateRoute"
		}
		if err := a.EC2(ctx, action, onAWS(url.Values{"RouteTableId": {a.Tables[i]}, a.destination(): {a.Destination.String()}}, id), nil); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", h.Part, err))
		}
	}
	return errors.Join(errs...)
}
