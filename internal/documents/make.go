package documents

import (
	"io/fs"
	"regexp"
	"strings"
)

var target = regexp.MustCompile(`(?m)^([a-z][\w/-]*(?: [a-z][\w/-]*)*):(?:[^=]|$)`)

// MakeTargets are the targets that the Makefile has.
func MakeTargets(files fs.FS) (map[string]bool, error) {
	text, err := fs.ReadFile(files, "Makefile")
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, found := range target.FindAllStringSubmatch(string(text), -1) {
		for _, name := range strings.Fields(found[1]) {
			known[name] = true
		}
	}
	return known, nil
}
