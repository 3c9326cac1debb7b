package http_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestATaskIsLookedAtChangedAndRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tasks := get[list[object]](t, f, "/api/v1/tasks").Items
	require.NotEmpty(t, tasks)
	path := "/api/v1/tasks/" + tasks[0]["name"].(string)
	changed := call[object](t, f, http.MethodPatch, path, object{"schedule": "@every 90s", "timeZone": "Europe/Berlin"})
	require.Equal(t, []any{"@every 90s", "Europe/Berlin"}, pick(changed, "schedule", "timeZone"))
	require.Equal(t, true, post[object](t, f, path+"/pause", nil)["paused"])
	require.Equal(t, false, post[object](t, f, path+"/resume", nil)["paused"])
	require.Contains(t, post[object](t, f, path+"/run", nil), "askedAt")
	require.Equal(t, changed["schedule"], get[object](t, f, path)["schedule"])
	require.Empty(t, get[list[object]](t, f, path+"/runs?limit=5").Items, "no server or worker runs here")

	wrong := f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPatch, path, object{"schedule": "sometimes"})
	require.Equal(t, "/schedule", wrong.Errors[0].Pointer)
	wrong = f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPatch, path, object{"timeZone": "Mars/Olympus"})
	require.Equal(t, "/timeZone", wrong.Errors[0].Pointer)
	f.refused(t, http.StatusNotFound, "task_not_found", http.MethodPost, "/api/v1/tasks/unheard-of/run", nil)
}
