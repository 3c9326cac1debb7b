package validate

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The media types whose bodies are checked by a schema. Of lines, the schema in
// openapi.yaml describes one.
const (
	JSON  = "application/json"
	Lines = "application/x-ndjson"
)

// Description is openapi.yaml as the server holds requests to it.
type Description struct {
	Operations map[string]*Operation // by method and route, as Echo writes them
}

// Operation is one method of one path.
type Operation struct {
	ID         string
	Method     string
	Route      string // /queues/:queueName
	Parameters []*Parameter
	Bodies     map[string]*Schema // by media type; nil: takes no body
	NeedsBody  bool
	Batch      string // the pointer under which the body lists jobs, "-" if it lists none
}

// Parameter is one parameter of an operation.
type Parameter struct {
	Name     string
	In       string // path, query or header
	Required bool
	Schema   *Schema
}

var methods = []string{"get", "put", "post", "delete", "patch"}

// Read reads a description. What it cannot hold a request to is an error.
func Read(document []byte) (*Description, error) {
	r := &documentReader{schemas: map[string]*Schema{}}
	if err := yaml.Unmarshal(document, &r.tree); err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	d := &Description{Operations: map[string]*Operation{}}
	paths := r.at("paths").fields()
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for _, method := range methods {
			if _, ok := paths[path].fields()[method]; !ok {
				continue
			}
			op, err := r.operation(path, method)
			if err != nil {
				return nil, fmt.Errorf("openapi.yaml: %s %s: %w", strings.ToUpper(method), path, err)
			}
			d.Operations[op.Method+" "+op.Route] = op
		}
	}
	return d, nil
}

// Find is the operation that Echo routed a request to, nil for none.
func (d *Description) Find(method, route string) *Operation { return d.Operations[method+" "+route] }

// Parameter is the one of that name, nil for none.
func (o *Operation) Parameter(name string) *Parameter {
	for _, p := range o.Parameters {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// documentReader walks the document by pointers. References are followed.
type documentReader struct {
	tree    any
	schemas map[string]*Schema // by pointer
}

// place is a node and its JSON pointer.
type place struct {
	reader  *documentReader
	pointer string
	node    any
}

func (r *documentReader) at(keys ...string) place {
	p := place{r, "", r.tree}
	for _, key := range keys {
		p = p.child(key)
	}
	return p
}

func (p place) child(key string) place {
	var node any
	switch parent := p.node.(type) {
	case map[string]any:
		node = parent[key]
	case []any:
		if i, err := strconv.Atoi(key); err == nil && i < len(parent) {
			node = parent[i]
		}
	}
	next := place{p.reader, p.pointer + "/" + pointerEscapes.Replace(key), node}
	for {
		target := next.text("$ref")
		if target == "" {
			return next
		}
		next = p.reader.at(splitPointer(strings.TrimPrefix(target, "#"))...)
	}
}

func (p place) fields() map[string]place {
	parent, _ := p.node.(map[string]any)
	all := make(map[string]place, len(parent))
	for key := range parent {
		all[key] = p.child(key)
	}
	return all
}

func (p place) items() (all []place) {
	parent, _ := p.node.([]any)
	for i := range parent {
		all = append(all, p.child(strconv.Itoa(i)))
	}
	return all
}

// text is the string under a key, itself no reference.
func (p place) text(key string) string {
	fields, _ := p.node.(map[string]any)
	text, _ := fields[key].(string)
	return text
}

func (p place) flag(key string) bool {
	flag, _ := p.child(key).node.(bool)
	return flag
}

func (r *documentReader) operation(path, method string) (*Operation, error) {
	at := r.at("paths", path, method)
	op := &Operation{
		ID: at.text("operationId"), Method: strings.ToUpper(method),
		Route: strings.NewReplacer("{", ":", "}", "").Replace(path), Batch: "-",
	}
	for _, p := range append(r.at("paths", path, "parameters").items(), at.child("parameters").items()...) {
		schema, err := r.compile(p.child("schema"))
		if err != nil {
			return nil, err
		}
		param := &Parameter{Name: p.text("name"), In: p.text("in"), Required: p.flag("required"), Schema: schema}
		if param.kind() == "object" {
			return nil, fmt.Errorf("parameter %s: objects are not supported", param.Name)
		}
		op.Parameters = append(op.Parameters, param)
	}
	body := at.child("requestBody")
	op.NeedsBody = body.flag("required")
	for media, content := range body.child("content").fields() {
		schema, err := r.compile(content.child("schema"))
		if err != nil {
			return nil, err
		}
		if op.Bodies == nil {
			op.Bodies = map[string]*Schema{}
		}
		op.Bodies[media] = schema
		if media == JSON {
			op.Batch = listsJobs(schema)
		}
	}
	return op, nil
}

// listsJobs is where a body keeps its list of jobs: "" when it is the list, "/jobs" when
// that is a field of it, "-" when there is none.
func listsJobs(s *Schema) string {
	if s.forms['['] != nil {
		return ""
	}
	if jobs := s.Properties["jobs"]; jobs != nil && jobs.forms['['] != nil {
		return "/jobs"
	}
	return "-"
}
