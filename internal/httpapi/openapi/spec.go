package openapi

import _ "embed"

// Spec is openapi.yaml, which the server holds requests to. The file is here because a
// package embeds only what is in its own folder; openapi.yaml in the repository's root is
// a link to it.
//
//go:embed openapi.yaml
var Spec []byte
