package terminal

import (
	"strconv"
)

type integer interface {
	~int | ~int16 | ~int32 | ~int64
}

// Thousands writes n, which is not negative, with a comma between thousands.
func Thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Plural is a count and its noun.
func Plural[N integer](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Thousands(int64(n)) + " " + noun + "s"
}

func Grouped(n int64) Cell { return Cell{Text: Thousands(n), Right: true} }

func Decimal(f float64, digits int) Cell {
	return Cell{Text: strconv.FormatFloat(f, 'f', digits, 64), Right: true}
}
