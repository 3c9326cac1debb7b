package migrations

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Object is one function, type or view as its file has it.
type Object struct {
	Kind      string // function, type or view
	Signature string // as Postgres prints it: penstock.claim(text,bigint)
	File      string // its path below migrations/
	Comment   string // the header, which becomes its COMMENT
	Source    string // the statements below the header, up to the next object
	Hash      string // of Source
}

// kinds are the folders in the order in which they are applied: functions return
// types, and views call functions.
var kinds = []struct{ folder, kind string }{{"types", "type"}, {"functions", "function"}, {"views", "view"}}

// Objects reads every type, function and view of files, in the order in which they can
// be made on an empty schema. Errors name the file that breaks a rule of the layout.
func Objects(files fs.FS) ([]Object, error) {
	var all []Object
	for _, k := range kinds {
		var some []Object
		err := fs.WalkDir(files, k.folder, func(name string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && name == k.folder {
				return nil // a test's files may lack a folder
			}
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := fs.ReadFile(files, name)
			if err != nil {
				return err
			}
			objects, err := parseFile(name, string(text))
			some = append(some, objects...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read the objects of the schema: %w", err)
		}
		if k.kind != "function" {
			some = inOrder(some)
		}
		all = append(all, some...)
	}
	return all, nil
}

var create = regexp.MustCompile(`(?m)^CREATE (?:OR REPLACE )?(FUNCTION|TYPE|VIEW) penstock\.(\w+)`)

// parseFile splits a file at its CREATE statements. Each has a header: the comment lines
// directly above it.
func parseFile(name, text string) ([]Object, error) {
	starts := create.FindAllStringSubmatchIndex(text, -1)
	if len(starts) == 0 {
		return nil, fmt.Errorf("%s: no CREATE FUNCTION, TYPE or VIEW of schema penstock", name)
	}
	var heads []int
	for _, s := range starts {
		heads = append(heads, headerStart(text, s[0]))
	}
	if strings.TrimSpace(text[:heads[0]]) != "" {
		return nil, fmt.Errorf("%s: text above the header of its first object", name)
	}
	var objects []Object
	for i, s := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = heads[i+1]
		}
		o := Object{
			Kind: strings.ToLower(text[s[2]:s[3]]), File: name,
			Comment: uncomment(text[heads[i]:s[0]]), Source: strings.TrimSpace(text[s[0]:end]),
		}
		object := text[s[4]:s[5]]
		if object+".sql" != path.Base(name) {
			return nil, fmt.Errorf("%s: it makes %s, which belongs into a file of that name", name, object)
		}
		if o.Comment == "" {
			return nil, fmt.Errorf("%s: %s has no header comment: it becomes the COMMENT in the catalog", name, object)
		}
		o.Signature = "penstock." + object
		if o.Kind == "function" {
			arguments, err := argumentTypes(text[s[5]:end])
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", name, object, err)
			}
			o.Signature += "(" + strings.Join(arguments, ",") + ")"
		}
		sum := sha256.Sum256([]byte(o.Source))
		o.Hash = hex.EncodeToString(sum[:])
		objects = append(objects, o)
	}
	return objects, nil
}

// headerStart is where the comment lines begin that end directly above at.
func headerStart(text string, at int) int {
	for at > 0 {
		line := strings.LastIndexByte(text[:at-1], '\n') + 1
		if !strings.HasPrefix(text[line:at], "--") {
			break
		}
		at = line
	}
	return at
}

func uncomment(header string) string {
	var lines []string
	for line := range strings.Lines(header) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "--")
		lines = append(lines, strings.TrimPrefix(line, " "))
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// inOrder puts an object after those that it names, and keeps the order otherwise.
func inOrder(objects []Object) (sorted []Object) {
	names := map[string]*regexp.Regexp{}
	for _, o := range objects {
		names[o.Signature] = regexp.MustCompile(regexp.QuoteMeta(o.Signature) + `\b`)
	}
	done := map[string]bool{}
	var add func(Object)
	add = func(o Object) {
		if done[o.Signature] {
			return
		}
		done[o.Signature] = true
		for _, other := range objects {
			if names[other.Signature].MatchString(o.Source) {
				add(other)
			}
		}
		sorted = append(sorted, o)
	}
	for _, o := range objects {
		add(o)
	}
	return slices.Clip(sorted)
}
