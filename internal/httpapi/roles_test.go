package httpapi

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/httpapi/openapi"
	"github.com/penstock/penstock/internal/httpapi/validate"
)

func served(t testing.TB) *validate.Description {
	t.Helper()
	d, err := validate.Read(openapi.Spec)
	require.NoError(t, err)
	return d
}

func TestEveryOperationHasItsRoles(t *testing.T) {
	var described []string
	for _, op := range served(t).Operations {
		described = append(described, op.ID)
		require.NotZero(t, roles[op.ID], "decide in roles.go who may call %s", op.ID)
	}
	require.ElementsMatch(t, described, slices.Collect(maps.Keys(roles)), "roles.go names an operation that there is not")
}

func TestWhatAFullQueueRefusesIsThere(t *testing.T) {
	ids := map[string]bool{}
	for _, op := range served(t).Operations {
		ids[op.ID] = true
	}
	for id := range enqueues {
		require.True(t, ids[id], "roles.go: there is no operation %s", id)
	}
}

// See pathParameter.
func TestNoPathParameterMayHoldAPercentSign(t *testing.T) {
	for _, op := range served(t).Operations {
		for _, p := range op.Parameters {
			if p.In == "path" {
				require.NotEmpty(t, p.Check([]string{"a%41"}), "%s: %s needs a pattern without %%", op.ID, p.Name)
			}
		}
	}
}
