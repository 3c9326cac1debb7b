package documents

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"

	"github.com/stretchr/testify/require"
)

var repository = os.DirFS("../..")

func read(t *testing.T) []File {
	t.Helper()
	all, err := Read(repository)
	require.NoError(t, err)
	require.Greater(t, len(all), 20)
	return all
}

func TestEveryRelativeLinkLeadsSomewhere(t *testing.T) {
	for _, problem := range BrokenLinks(repository, read(t)) {
		t.Error(problem)
	}
}

func TestEveryMakeTargetInADocumentExists(t *testing.T) {
	known, err := MakeTargets(repository)
	require.NoError(t, err)
	require.True(t, known["test"])
	mentions := Mentions(read(t), "make")
	require.Greater(t, len(mentions), 10)
	for _, m := range mentions {
		for _, word := range m.Words {
			if !strings.Contains(word, "=") && !known[word] {
				t.Errorf("%s: the Makefile has no target %s", m.Where, word)
			}
		}
	}
}

func TestBrokenLinksAreFound(t *testing.T) {
	files := fstest.MapFS{
		"a.md": {Data: []byte("# A title, `code` & more\n\n## Twice\n\n## Twice\n\n[self](#a-title-code--more) [second](#twice-1)\n" +
			"[file](docs/b.md#here) [folder](docs) [away](https://example.org/x) `[code](nowhere)`\n" +
			"[no file](c.md) [no heading](docs/b.md#there) [not mine](#gone)\n```sh\n[fenced](nowhere)\n```\n")},
		"docs/b.md": {Data: []byte("## Here\n\n[up](../a.md)\n")},
	}
	all, err := Read(files)
	require.NoError(t, err)
	require.Equal(t, []string{
		"a.md:9: link to c.md: no such file",
		"a.md:9: link to docs/b.md#there: docs/b.md has no such heading",
		"a.md:9: link to #gone: a.md has no such heading",
	}, BrokenLinks(files, all))
}

func TestAnOpenBlockIsAnError(t *testing.T) {
	_, err := Read(fstest.MapFS{"a.md": {Data: []byte("```sh\nls\n")}})
	require.EqualError(t, err, "a.md: a fenced block is not closed")
}

func TestCommandsAreFoundWhereverTheyStand(t *testing.T) {
	file, err := parse("a.md", strings.Join([]string{
		"Run `tool job get ID` or `bin/tool url`; `tool` alone and `tool.Handle` are no commands.",
		"```sh",
		"bin/tool grants app --as producer | psql \"$URL\"   # tool is good",
		"psql \"$(bin/tool url)\" <<'SQL'",
		"bin/tool work --queue mail -- sh -c 'tool nothing'",
		"```",
		"```go",
		"// tool in another language",
		"```",
	}, "\n"))
	require.NoError(t, err)
	require.Equal(t, []Mention{
		{"a.md:1", []string{"job", "get", "ID"}},
		{"a.md:1", []string{"url"}},
		{"a.md:3", []string{"grants", "app", "--as", "producer"}},
		{"a.md:4", []string{"url"}},
		{"a.md:5", []string{"work", "--queue", "mail"}},
	}, Mentions([]File{file}, "tool"))
}

func TestEveryFolderInTheMapExists(t *testing.T) {
	for _, file := range read(t) {
		if file.Path != "README.md" {
			continue
		}
		folders := 0
		for _, line := range file.Lines {
			if !strings.HasPrefix(line.Text, "| `") {
				continue
			}
			line.Text, _, _ = strings.Cut(line.Text[1:], "|") // the first column
			for _, code := range line.code() {
				if name, isFolder := strings.CutSuffix(code, "/"); isFolder {
					info, err := fs.Stat(repository, name)
					require.NoError(t, err, "README.md:%d", line.Number)
					require.True(t, info.IsDir(), "README.md:%d: %s", line.Number, name)
					folders++
				}
			}
		}
		require.Greater(t, folders, 15)
	}
}

// avoided are words that readers of other mother tongues stumble over, with what to
// write instead.
var avoided = map[string]string{
	"anew": "again", "beside": "next to, or during", "laid": "moved, or put", "lay": "put", "meanwhile": "in the meantime", "nobody": "no worker, no one",
	"somebody": "who it is", "whoever": "who it is", "tell": "say, report, or show", "tells": "says, reports, or shows", "told": "said, or informed",
}

func TestDocumentsUsePlainWords(t *testing.T) {
	for _, file := range read(t) {
		for _, line := range file.Lines {
			if line.Fenced {
				continue
			}
			for _, word := range strings.FieldsFunc(line.prose(), func(r rune) bool { return !unicode.IsLetter(r) }) {
				if instead := avoided[strings.ToLower(word)]; instead != "" {
					t.Errorf("%s:%d: %q: write %s", file.Path, line.Number, word, instead)
				}
			}
		}
	}
}
