// Package validate holds HTTP requests to openapi.yaml. It reads the description once
// at start (description.go), turns each schema into a Schema (compile.go), and checks a
// body in one pass while its JSON is read (body.go, with the rules of json.go): nothing
// is built in memory for the check. Parameters use the same schemas (parameter.go).
//
// A keyword that this package does not know is an error at start, so that the server
// never promises a check it does not make.
package validate
