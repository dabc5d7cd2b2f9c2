package spill

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// anonymous is the kilobytes in memory that belong to no file.
func anonymous(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "RssAnon:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb
}

func TestTablesNeedNoMemoryOfTheirOwn(t *testing.T) {
	t.Setenv("WINNOW_CACHE", t.TempDir())
	before := anonymous(t)
	s := Make[uint32](16 << 20) // 64 MiB
	for i := range s {
		s[i] = uint32(i)
	}
	if grown := anonymous(t) - before; grown > 8<<10 {
		t.Errorf("a table of 65536 kB takes %d kB that belong to no file", grown)
	}
	Free(s)
}
