package documents

import (
	"fmt"
	"regexp"
	"strings"
)

// Mention is a command line that a document shows.
type Mention struct {
	Where string   // path:line
	Words []string // after the program's name, up to the end of the command
}

// Mentions returns the command lines of a program in all documents: in shell blocks
// and in inline code.
func Mentions(all []File, program string) (found []Mention) {
	start := regexp.MustCompile(`(?:^|[\s("'` + "`" + `])(?:bin/|\./)?` + regexp.QuoteMeta(program) + `((?:[ \t].*)?)$`)
	for _, file := range all {
		for _, line := range file.Lines {
			for _, code := range line.code() {
				for _, part := range commandLines(code) {
					if match := start.FindStringSubmatch(part); match != nil {
						if words := wordsOf(match[1]); len(words) > 0 {
							found = append(found, Mention{fmt.Sprintf("%s:%d", file.Path, line.Number), words})
						}
					}
				}
			}
		}
	}
	return found
}

// separators end one command and begin the next, or begin a comment.
var separators = regexp.MustCompile(`\$\(|\)"?|\|\|?|&&|;|(?:^|\s)#.*$`)

func commandLines(code string) []string { return separators.Split(code, -1) }

// wordsOf are the words up to "--", a redirection or the end of the line. Quoted
// arguments stay one word.
func wordsOf(text string) (words []string) {
	for _, word := range word.FindAllString(text, -1) {
		if word == "--" || word == `\` || strings.HasPrefix(word, ">") || strings.HasPrefix(word, "<") {
			break
		}
		words = append(words, word)
	}
	return words
}

var word = regexp.MustCompile(`(?:[^\s'"]|'[^']*'|"[^"]*")+`)
