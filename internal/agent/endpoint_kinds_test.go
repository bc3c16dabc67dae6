package agent

import (
	"slices"
	"testing"

	"github.com/baton-db/baton/internal/config"
)

func TestEveryKindOfEndpointThatCanBeConfiguredCanBeOpened(t *testing.T) {
	configured := slices.Sorted(slices.Values(config.EndpointKinds()))
	var opened []string
	for _, k := range endpointKinds().Kinds() {
		opened = append(opened, string(k))
	}
	if !slices.Equal(configured, opened) {
		t.Errorf("the configuration knows %v, the agent opens %v", configured, opened)
	}
}
