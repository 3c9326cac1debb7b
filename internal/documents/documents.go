// Package documents reads the repository's Markdown files, so that tests can compare
// what they say with what exists: links, commands, make targets, log messages and
// health codes.
package documents

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// File is one Markdown file.
type File struct {
	Path  string // from the repository's root, with slashes
	Lines []Line
}

// Line is one line of a file and where it stands.
type Line struct {
	Number int
	Text   string
	Block  string // the language of the fenced block that holds the line, "text" if it names none
	Fenced bool   // in a fenced block
}

// skipped are folders with files that are not ours or that nobody reads as documents.
var skipped = map[string]bool{".git": true, ".penstock": true, "bin": true, "node_modules": true, "testdata": true}

// Read returns every Markdown file under the root of files.
func Read(files fs.FS) (all []File, err error) {
	err = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && skipped[entry.Name()]:
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".md":
			return nil
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		file, err := parse(name, string(text))
		all = append(all, file)
		return err
	})
	return all, err
}

var fence = regexp.MustCompile("^ *```+([a-z]*)")

func parse(name, text string) (File, error) {
	file := File{Path: name}
	fenced, block := false, ""
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if found := fence.FindStringSubmatch(line); found != nil {
			fenced = !fenced
			if block = ""; fenced {
				if block = found[1]; block == "" {
					block = "text"
				}
			}
			continue
		}
		file.Lines = append(file.Lines, Line{Number: i + 1, Text: line, Block: block, Fenced: fenced})
	}
	if fenced {
		return file, fmt.Errorf("%s: a fenced block is not closed", name)
	}
	return file, nil
}

var inlineCode = regexp.MustCompile("`[^`]+`")

// prose is the line without its inline code.
func (l Line) prose() string { return inlineCode.ReplaceAllString(l.Text, "") }

// code returns what the line holds as code: all of it in a shell block, else its
// inline code. Blocks of other languages are none of a shell's business.
func (l Line) code() []string {
	if l.Fenced {
		if l.Block == "sh" || l.Block == "text" {
			return []string{l.Text}
		}
		return nil
	}
	var all []string
	for _, found := range inlineCode.FindAllString(l.Text, -1) {
		all = append(all, strings.Trim(found, "`"))
	}
	return all
}
