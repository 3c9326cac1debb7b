package httpapi

import (
	"bytes"
	"context"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"
	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"

	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// docs is Swagger UI, which is part of the binary: the page loads nothing from elsewhere.
var docs = v5emb.NewHandlerWithConfig(swgui.Config{
	Title: "Penstock", SwaggerJSON: "/openapi.yaml", BasePath: "/docs/",
	SettingsUI: map[string]string{"docExpansion": `"list"`, "tryItOutEnabled": "false", "displayOperationId": "true"},
})

// docsPolicy is what the page may load and do, its own scripts and styles, some of
// which stand in it; it takes the place of the policy for what is not a page.
const docsPolicy = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; frame-ancestors 'none'"

// serveDocsFile answers with a file of the page.
func serveDocsFile(c echo.Context) error {
	c.Response().Header().Set("Cache-Control", "max-age=3600") // part of the binary
	docs.ServeHTTP(c.Response(), c.Request())
	return nil
}

// GetDocs answers with the page itself.
func (h *handlers) GetDocs(context.Context, openapi.GetDocsRequestObject) (openapi.GetDocsResponseObject, error) {
	return docsPage{}, nil
}

type docsPage struct{}

// VisitGetDocsResponse writes the page.
func (docsPage) VisitGetDocsResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Security-Policy", docsPolicy)
	docs.ServeHTTP(w, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: docs.BasePath}})
	return nil
}

// GetDescription answers with openapi.yaml.
func (h *handlers) GetDescription(context.Context, openapi.GetDescriptionRequestObject) (openapi.GetDescriptionResponseObject, error) {
	return openapi.GetDescription200ApplicationyamlResponse{
		Body: bytes.NewReader(openapi.Spec), ContentLength: int64(len(openapi.Spec)),
	}, nil
}
