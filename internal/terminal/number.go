package terminal

import (
	"fmt"
	"strconv"
)

type integer interface {
	~int | ~int16 | ~int32 | ~int64
}

// Thousands writes n with a comma between thousands.
func Thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Short is Thousands, in millions from a million on: "1.2M".
func Short(n int64) string {
	switch {
	case n >= 10_000_000:
		return fmt.Sprintf("%dM", n/1_000_000)
	case n >= 1_000_000:
		return fmt.Sprintf("%.1fM", float64(n)/1e6)
	}
	return Thousands(n)
}

// Plural is a count and its noun: "1 job", "1,200 jobs".
func Plural[N integer](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Thousands(int64(n)) + " " + noun + "s"
}

// Rate is a number per second with three digits that count.
func Rate(perSecond float64) string {
	switch {
	case perSecond >= 1000:
		return Thousands(int64(perSecond + 0.5))
	case perSecond == 0:
		return "0"
	case perSecond < 0.01:
		return "<0.01"
	}
	return Digits(perSecond)
}

// Percent is a share between 0 and 1. Only all of it is 100%, only none of it 0%.
func Percent(share float64) string {
	switch p := share * 100; {
	case p == 100 || p == 0:
		return fmt.Sprintf("%.0f%%", p)
	case p >= 99.9 || p < 0.1:
		return fmt.Sprintf("%.2f%%", min(max(p, 0.01), 99.99))
	default:
		return fmt.Sprintf("%.1f%%", p)
	}
}

// Digits is a positive number with three digits that count, and at most two decimals.
func Digits(f float64) string {
	decimals := 2
	switch {
	case f >= 99.95:
		decimals = 0
	case f >= 9.995:
		decimals = 1
	}
	return strconv.FormatFloat(f, 'f', decimals, 64)
}

// Grouped is a cell of Thousands.
func Grouped(n int64) Cell { return Cell{Text: Thousands(n), Right: true} }

// Decimal is a cell of f with so many decimals.
func Decimal(f float64, decimals int) Cell {
	return Cell{Text: strconv.FormatFloat(f, 'f', decimals, 64), Right: true}
}
