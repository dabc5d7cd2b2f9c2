package runtime

import (
	"errors"
	"syscall"
	"testing"
)

// Calls from anywhere run on one thread of the system, which runs nothing else
// even while they wait, and bring back errors.
func TestThreadIsOneOfItsOwn(t *testing.T) {
	th := newThread()
	defer th.close()
	failure := errors.New("failed")
	var ids, others []int
	done := make(chan error)
	for range 20 {
		go func() {
			done <- th.do(func() error {
				other := make(chan int)
				go func() { other <- syscall.Gettid() }()
				ids, others = append(ids, syscall.Gettid()), append(others, <-other)
				return failure
			})
		}()
	}
	for range 20 {
		if err := <-done; !errors.Is(err, failure) {
			t.Errorf("got %v", err)
		}
	}
	for i, id := range ids {
		if id != ids[0] || others[i] == id {
			t.Fatalf("calls ran on threads %v, what they started on %v", ids, others)
		}
	}
}
