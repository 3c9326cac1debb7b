// Package terminal writes for people: tables, facts, a progress bar, a question, and numbers,
// durations and plurals in one style. Colour and cutting to the width of the screen are for
// terminals; a pipe reads plain and whole lines. Text from data passes Plain first, so that it
// cannot steer the terminal.
package terminal
