package prune

import (
	"runtime"
	"sync/atomic"

	"winnow/internal/guard"
)

// maxThreads bounds the goroutines of one plan.
const maxThreads = 64

func threadCount(threads int) int {
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return min(threads, maxThreads)
}

// inParallel calls f for every block of 0..n, on up to threads goroutines. The
// blocks do not depend on the number of threads, and f must not depend on
// their order.
func inParallel(threads, n, block int, f func(lo, hi int)) {
	blocks := (n + block - 1) / block
	threads = min(threadCount(threads), blocks)
	if threads <= 1 {
		for lo := 0; lo < n; lo += block {
			f(lo, min(lo+block, n))
		}
		return
	}
	var next atomic.Int64
	var wg guard.Group
	for range threads {
		wg.Go(func() {
			for {
				b := int(next.Add(1)) - 1
				if b >= blocks {
					return
				}
				f(b*block, min((b+1)*block, n))
			}
		})
	}
	wg.Wait()
}
