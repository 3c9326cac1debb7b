package documents

import (
	"regexp"
	"strings"
)

var entry = regexp.MustCompile("^\\| `([^`]+)` \\|")

// Entries are the first cells of the tables in a section of a document: what stands
// between a heading of level two and the next one. Each is returned with the number of
// times that it occurs.
func (f File) Entries(section string) map[string]int {
	found, within := map[string]int{}, false
	for _, line := range f.Lines {
		if strings.HasPrefix(line.Text, "## ") && !line.Fenced {
			within = line.Text == "## "+section
		}
		if match := entry.FindStringSubmatch(line.Text); within && match != nil {
			found[match[1]]++
		}
	}
	return found
}
