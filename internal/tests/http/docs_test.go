package http_test

import (
	"net/http"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheDescriptionThatIsServedIsTheRepositorys(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	want, err := os.ReadFile("../../../openapi.yaml")
	require.NoError(t, err)
	require.Equal(t, string(want), f.send(t, http.MethodGet, "/openapi.yaml", nil).Body.String())
}

func TestThePageAsksNobodyElse(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	page := f.send(t, http.MethodGet, "/docs", nil)
	require.Equal(t, http.StatusOK, page.Code)
	require.Contains(t, page.Header().Get("Content-Security-Policy"), "default-src 'self'")
	files := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page.Body.String(), -1)
	require.GreaterOrEqual(t, len(files), 4)
	for _, file := range files {
		require.Regexp(t, `^/docs/`, file[1])
		answer := f.get(t, file[1])
		require.Equal(t, http.StatusOK, answer.Code, file[1])
		require.NotEmpty(t, answer.Body.Bytes(), file[1])
	}
}
