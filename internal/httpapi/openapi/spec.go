package openapi

import _ "embed"

// Spec is openapi.yaml, which the server holds requests to. `make gen` copies it here
// from the repository's root, since a package embeds only what lies beneath it.
//
//go:embed openapi.yaml
var Spec []byte
