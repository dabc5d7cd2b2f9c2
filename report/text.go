package report

import (
	"fmt"
	"strconv"
)

func percent(share float64) string { return fmt.Sprintf("%.2f%%", 100*share) }

// thousands writes 1234567 as 1,234,567.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func duration(s float64) string {
	switch m := int(s) / 60; {
	case s < 100:
		return fmt.Sprintf("%.1fs", s)
	case m < 100:
		return fmt.Sprintf("%dm%02ds", m, int(s)-60*m)
	default:
		return fmt.Sprintf("%dh%02dm", m/60, m%60)
	}
}
