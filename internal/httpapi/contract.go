package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// contract is openapi.yaml as the server holds requests to it: read once, each schema
// compiled once.
type contract struct {
	operations map[string]*operation // by method and route, as Echo writes them
}

// operation is one method of one path.
type operation struct {
	id     string
	method string
	route  string // /queues/:queueName
	params []*parameter
	bodies map[string]*body // by media type; nil: takes no body
	needs  bool             // a body must come
	batch  string           // the pointer under which the body lists jobs, "-" if it lists none
}

// parameter is one parameter of an operation. Its schema is applied to the text turned
// into what the schema's type asks for.
type parameter struct {
	name, in string
	required bool
	kind     string // integer, number, boolean, array of strings; else string
	schema   *jsonschema.Schema
}

const (
	jsonType   = "application/json"
	ndjsonType = "application/x-ndjson" // its schema in openapi.yaml describes one line
)

var methods = []string{"get", "put", "post", "delete", "patch"}

// readContract compiles a document. What it cannot hold a request to is an error: a
// server that does not check what it promises must not start.
func readContract(document []byte) (*contract, error) {
	tree, err := readYAML(document)
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("openapi:", tree); err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	r := &contractReader{
		tree: tree, compiler: compiler, shapes: &shapes{map[*jsonschema.Schema]*shape{}},
		certainties: &certainties{map[*jsonschema.Schema]*certain{}},
	}
	c := &contract{operations: map[string]*operation{}}
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
			c.operations[op.method+" "+op.route] = op
		}
	}
	return c, nil
}

// readYAML gives YAML the shapes that JSON has.
func readYAML(document []byte) (any, error) {
	var tree any
	if err := yaml.Unmarshal(document, &tree); err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	text, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
}

// find is the operation that Echo routed a request to, nil for none of ours.
func (c *contract) find(method, route string) *operation { return c.operations[method+" "+route] }

// parameter is the one of that name, whatever it is in; nil for none.
func (o *operation) parameter(name string) *parameter {
	for _, p := range o.params {
		if p.name == name {
			return p
		}
	}
	return nil
}

// contractReader walks the document by pointers, references followed.
type contractReader struct {
	tree        any
	compiler    *jsonschema.Compiler
	shapes      *shapes
	certainties *certainties
}

// place is a node and its JSON pointer.
type place struct {
	reader  *contractReader
	pointer string
	node    any
}

func (r *contractReader) at(keys ...string) place {
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
		var i int
		if _, err := fmt.Sscan(key, &i); err == nil && i < len(parent) {
			node = parent[i]
		}
	}
	next := place{p.reader, p.pointer + "/" + escapePointer(key), node}
	for {
		fields, _ := next.node.(map[string]any)
		target, isRef := fields["$ref"].(string)
		if !isRef || strings.HasPrefix(target, "#/components/schemas/") {
			return next // the compiler follows references between schemas itself
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
		all = append(all, p.child(fmt.Sprint(i)))
	}
	return all
}

func (p place) text(key string) string {
	text, _ := p.child(key).node.(string)
	return text
}

func (p place) flag(key string) bool {
	flag, _ := p.child(key).node.(bool)
	return flag
}

func (p place) compile() (*jsonschema.Schema, error) {
	return p.reader.compiler.Compile("openapi:#" + strings.ReplaceAll(strings.ReplaceAll(p.pointer, "{", "%7B"), "}", "%7D"))
}

func (r *contractReader) operation(path, method string) (*operation, error) {
	at := r.at("paths", path, method)
	op := &operation{
		id: at.text("operationId"), method: strings.ToUpper(method),
		route: strings.NewReplacer("{", ":", "}", "").Replace(path), batch: "-",
	}
	for _, p := range append(r.at("paths", path, "parameters").items(), at.child("parameters").items()...) {
		param, err := readParameter(p)
		if err != nil {
			return nil, err
		}
		op.params = append(op.params, param)
	}
	asked := at.child("requestBody")
	op.needs = asked.flag("required")
	for media, content := range asked.child("content").fields() {
		schema, err := content.child("schema").compile()
		if err != nil {
			return nil, err
		}
		if op.bodies == nil {
			op.bodies = map[string]*body{}
		}
		op.bodies[media] = &body{schema, r.shapes.of(schema), r.certainties.of(schema)}
		if media == jsonType {
			op.batch = listsJobs(schema)
		}
	}
	return op, nil
}

func readParameter(p place) (*parameter, error) {
	schema, err := p.child("schema").compile()
	if err != nil {
		return nil, err
	}
	param := &parameter{name: p.text("name"), in: p.text("in"), required: p.flag("required"), schema: schema}
	types := resolve(schema).Types
	switch {
	case types == nil:
	case len(types.ToStrings()) == 1:
		param.kind = types.ToStrings()[0]
	}
	if param.kind == "object" {
		return nil, fmt.Errorf("parameter %s: objects are not supported", param.name)
	}
	return param, nil
}

// resolve follows a schema that is only a reference.
func resolve(s *jsonschema.Schema) *jsonschema.Schema {
	for s.Ref != nil && s.Types == nil {
		s = s.Ref
	}
	return s
}

// listsJobs is where a body keeps its list of jobs: "" when it is the list, "/jobs" when
// that is a field of it, "-" when there is none.
func listsJobs(s *jsonschema.Schema) string {
	s = resolve(s)
	if s.Items2020 != nil {
		return ""
	}
	if jobs := s.Properties["jobs"]; jobs != nil && resolve(jobs).Items2020 != nil {
		return "/jobs"
	}
	return "-"
}

var (
	pointerEscapes   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescapes = strings.NewReplacer("~1", "/", "~0", "~")
)

func escapePointer(key string) string { return pointerEscapes.Replace(key) }

func splitPointer(pointer string) []string {
	keys := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i := range keys {
		keys[i] = pointerUnescapes.Replace(keys[i])
	}
	return keys
}
