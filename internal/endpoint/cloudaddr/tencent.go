package cloudaddr

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/endpoint/cloudapi"
)

// TencentHAVIP is a highly available virtual IP address of Tencent Cloud. No request
// moves it: the network gives it to the host that announces it by ARP, which is what
// virtual addresses do. What there is to do is to have the primary's instance among
// those that may have it, and to look who has it.
type TencentHAVIP struct {
	cloudapi.Tencent
	ID    string
	Pause time.Duration // between two looks; 0: 500 ms
}

type tencentHAVIP struct {
	Vip                 string
	InstanceID          string `json:"InstanceId"`
	NetworkInterfaceID  string `json:"NetworkInterfaceId"`
	CheckAssociate      bool
	HaVipAssociationSet []tencentAssociation
}

type tencentAssociation struct {
	InstanceID   string `json:"InstanceId"`
	HaVipID      string `json:"HaVipId"`
	InstanceType string
}

func (a *TencentHAVIP) look(ctx context.Context) (v tencentHAVIP, err error) {
	var answer struct{ HaVipSet []tencentHAVIP }
	if err := a.VPC(ctx, "DescribeHaVips", struct{ HaVipIds []string }{[]string{a.ID}}, &answer); err != nil {
		return v, err
	}
	if len(answer.HaVipSet) != 1 {
		return v, missing("HAVIP", a.ID)
	}
	return answer.HaVipSet[0], nil
}

func (v tencentHAVIP) holders() []string { return present(v.InstanceID, v.NetworkInterfaceID) }

// Holders implements Address.
func (a *TencentHAVIP) Holders(ctx context.Context) ([]Holder, error) {
	v, err := a.look(ctx)
	if err != nil {
		return nil, err
	}
	return []Holder{{Part: v.Vip, IDs: v.holders()}}, nil
}

// Move implements Address.
func (a *TencentHAVIP) Move(ctx context.Context, id string, _ []Holder) error {
	return towards(ctx, a.Pause, func(ctx context.Context) (done bool, waits string, err error) {
		v, err := a.look(ctx)
		if err != nil {
			return false, "", err
		}
		have := v.holders()
		if slices.Contains(have, id) {
			return true, "", nil
		}
		if v.CheckAssociate && !slices.ContainsFunc(v.HaVipAssociationSet, func(s tencentAssociation) bool { return s.InstanceID == id }) {
			kind := "CVM"
			if strings.HasPrefix(id, "eni-") {
				kind = "ENI"
			}
			return false, v.Vip + " was being associated", a.VPC(ctx, "AssociateHaVipInstance", struct{ HaVipAssociationSet []tencentAssociation }{[]tencentAssociation{{id, a.ID, kind}}}, nil)
		}
		at := "nobody has " + v.Vip
		if len(have) > 0 {
			at = v.Vip + " is still at " + strings.Join(have, ", ")
		}
		return false, fmt.Sprintf("%s: it goes to the host that announces it by ARP, for which it has to be one of addresses:", at), nil
	})
}
