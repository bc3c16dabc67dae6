package cloudaddr

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/endpoint/cloudapi"
)

// onAliyun names an instance or an interface in a request.
func onAliyun(params url.Values, id string) url.Values {
	params.Set("InstanceId", id)
	params.Set("InstanceType", "EcsInstance")
	if strings.HasPrefix(id, "eni-") {
		params.Set("InstanceType", "NetworkInterface")
	}
	return params
}

// AliyunEIP is an elastic IP address of Alibaba Cloud. It is taken from one instance
// before it is given to the next, and the vendor takes its time for both.
type AliyunEIP struct {
	cloudapi.Aliyun
	Allocation string
	Pause      time.Duration // between two looks while the vendor is at it; 0: 500 ms
}

type aliyunEIP struct{ IpAddress, Status, InstanceId string }

func (a *AliyunEIP) look(ctx context.Context) (e aliyunEIP, err error) {
	var answer struct {
		EipAddresses struct{ EipAddress []aliyunEIP }
	}
	if err := a.VPC(ctx, "DescribeEipAddresses", url.Values{"AllocationId": {a.Allocation}}, &answer); err != nil {
		return e, err
	}
	if len(answer.EipAddresses.EipAddress) != 1 {
		return e, missing("elastic IP", a.Allocation)
	}
	return answer.EipAddresses.EipAddress[0], nil
}

// Holders implements Address.
func (a *AliyunEIP) Holders(ctx context.Context) ([]Holder, error) {
	e, err := a.look(ctx)
	if err != nil {
		return nil, err
	}
	h := Holder{Part: e.IpAddress}
	switch e.Status {
	case "InUse":
		h.IDs = present(e.InstanceId)
	case "Available":
	default:
		h.Busy = "is " + e.Status
	}
	return []Holder{h}, nil
}

// Move implements Address.
func (a *AliyunEIP) Move(ctx context.Context, id string, _ []Holder) error {
	return towards(ctx, a.Pause, func(ctx context.Context) (done bool, waits string, err error) {
		e, err := a.look(ctx)
		if err != nil {
			return false, "", err
		}
		switch {
		case e.Status == "InUse" && e.InstanceId == id:
			return true, "", nil
		case e.Status == "InUse":
			err = a.VPC(ctx, "UnassociateEipAddress", onAliyun(url.Values{"AllocationId": {a.Allocation}}, e.InstanceId), nil)
		case e.Status == "Available":
			err = a.VPC(ctx, "AssociateEipAddress", onAliyun(url.Values{"AllocationId": {a.Allocation}}, id), nil)
		}
		return false, fmt.Sprintf("%s was %s", e.IpAddress, e.Status), settling(err)
	})
}

// AliyunHAVIP is a highly available virtual IP address of Alibaba Cloud. It may be
// associated with several instances, of which the one gets the packets that announces
// the address; here it is associated with the primary's alone, so that nobody else
// can get them.
type AliyunHAVIP struct {
	cloudapi.Aliyun
	ID    string
	Pause time.Duration // between two looks while the vendor is at it; 0: 500 ms
}

type aliyunHAVIP struct {
	IpAddress, Status   string
	AssociatedInstances struct{ AssociatedInstance []string }
}

func (a *AliyunHAVIP) look(ctx context.Context) (v aliyunHAVIP, err error) {
	var answer struct {
		HaVips struct{ HaVip []aliyunHAVIP }
	}
	if err := a.VPC(ctx, "DescribeHaVips", url.Values{"Filter.1.Key": {"HaVipId"}, "Filter.1.Value.1": {a.ID}}, &answer); err != nil {
		return v, err
	}
	if len(answer.HaVips.HaVip) != 1 {
		return v, missing("HAVIP", a.ID)
	}
	return answer.HaVips.HaVip[0], nil
}

// Holders implements Address.
func (a *AliyunHAVIP) Holders(ctx context.Context) ([]Holder, error) {
	v, err := a.look(ctx)
	if err != nil {
		return nil, err
	}
	h := Holder{Part: v.IpAddress, IDs: v.AssociatedInstances.AssociatedInstance}
	switch {
	case v.Status != "InUse" && v.Status != "Available":
		h.Busy = "is " + v.Status
	case len(h.IDs) > 1:
		h.Odd = fmt.Sprintf("is associated with %s: whoever announces it gets the packets", strings.Join(h.IDs, " and "))
	}
	return []Holder{h}, nil
}

// most is how many instances a HAVIP may be associated with in every region.
const most = 2

// Move implements Address. The new one is associated before the others are dropped,
// if there is room: the address need not be without anybody.
func (a *AliyunHAVIP) Move(ctx context.Context, id string, _ []Holder) error {
	return towards(ctx, a.Pause, func(ctx context.Context) (done bool, waits string, err error) {
		v, err := a.look(ctx)
		if err != nil {
			return false, "", err
		}
		have := v.AssociatedInstances.AssociatedInstance
		other := slices.IndexFunc(have, func(h string) bool { return h != id })
		about := url.Values{"HaVipId": {a.ID}}
		switch {
		case v.Status != "InUse" && v.Status != "Available":
		case len(have) == 1 && other < 0:
			return true, "", nil
		case len(have) >= most: // it may be one of them
			err = a.VPC(ctx, "UnassociateHaVip", onAliyun(about, have[other]), nil)
		default:
			err = a.VPC(ctx, "AssociateHaVip", onAliyun(about, id), nil)
		}
		return false, fmt.Sprintf("%s was %s", v.IpAddress, v.Status), settling(err)
	})
}
