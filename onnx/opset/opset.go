package opset

// Opsets of the standard domain that are read, and the one that is written.
const (
	minOpset    = 7
	maxOpset    = 26
	targetOpset = 18
)

// opVersion returns the opset whose definition of op holds at opset, 0 if
// there is none.
func opVersion(op string, opset int64) int64 {
	var version int64
	for _, v := range opVersions[op] {
		switch {
		case v > opset:
		case v < 0 && -v <= opset:
			return 0
		case v > 0:
			version = v
		}
	}
	return version
}
