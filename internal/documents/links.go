package documents

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"unicode"
)

// BrokenLinks returns a sentence for each relative link whose file or heading does not
// exist. Links to other sites are not followed.
func BrokenLinks(files fs.FS, all []File) (found []string) {
	headings := map[string]map[string]bool{}
	for _, file := range all {
		headings[file.Path] = file.headings()
	}
	for _, file := range all {
		for _, line := range file.Lines {
			if line.Fenced {
				continue
			}
			for _, target := range targets(line.prose()) {
				if problem := check(files, headings, file.Path, target); problem != "" {
					found = append(found, fmt.Sprintf("%s:%d: %s", file.Path, line.Number, problem))
				}
			}
		}
	}
	return found
}

// link is [text](target). The text may hold brackets of its own only as inline code,
// which prose has removed.
var link = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)

func targets(text string) (all []string) {
	for _, found := range link.FindAllStringSubmatch(text, -1) {
		if !strings.Contains(found[1], "://") && !strings.HasPrefix(found[1], "mailto:") {
			all = append(all, found[1])
		}
	}
	return all
}

func check(files fs.FS, headings map[string]map[string]bool, from, target string) string {
	name, anchor, hasAnchor := strings.Cut(target, "#")
	at := from
	if name != "" {
		at = path.Join(path.Dir(from), name)
	}
	if _, err := fs.Stat(files, at); err != nil {
		return fmt.Sprintf("link to %s: no such file", target)
	}
	if known, isDocument := headings[at]; hasAnchor && isDocument && !known[anchor] {
		return fmt.Sprintf("link to %s: %s has no such heading", target, at)
	}
	return ""
}

// headings are the anchors of the file, as GitHub makes them: lower case, words joined
// by hyphens, a number after the second and later ones of the same text.
func (f File) headings() map[string]bool {
	known, times := map[string]bool{}, map[string]int{}
	for _, line := range f.Lines {
		level := len(line.Text) - len(strings.TrimLeft(line.Text, "#"))
		if line.Fenced || level == 0 || level > 6 || !strings.HasPrefix(line.Text[level:], " ") {
			continue
		}
		slug := anchorOf(line.Text[level+1:])
		if n := times[slug]; n > 0 {
			known[fmt.Sprintf("%s-%d", slug, n)] = true
		} else {
			known[slug] = true
		}
		times[slug]++
	}
	return known
}

func anchorOf(heading string) string {
	var slug strings.Builder
	for _, r := range strings.ToLower(strings.TrimSpace(heading)) {
		switch {
		case r == ' ':
			slug.WriteByte('-')
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			slug.WriteRune(r)
		}
	}
	return slug.String()
}
