package loader

import (
	"slices"
	"sync"
)

// BadSample is a sample that could not be read.
type BadSample struct {
	Index  uint32 `json:"index"`
	Split  string `json:"split"` // name of the records
	Where  string `json:"where,omitempty"`
	Reason string `json:"reason"`
}

// maxBadSamples bounds how many a BadSamples spells out.
const maxBadSamples = 10000

// BadSamples collects the samples that were left out because they could not be
// read, each once. It is safe for concurrent use.
type BadSamples struct {
	mu   sync.Mutex
	seen map[badKey]bool
	list []BadSample
}

type badKey struct {
	split string
	index uint32
}

func (b *BadSamples) add(s *Source, i uint32, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := badKey{s.Name(), i}
	if b.seen == nil {
		b.seen = map[badKey]bool{}
	}
	if b.seen[key] {
		return
	}
	b.seen[key] = true
	if len(b.list) < maxBadSamples {
		where := ""
		if l, ok := s.records.(Located); ok {
			where = l.Where(i)
		}
		b.list = append(b.list, BadSample{Index: i, Split: s.Name(), Where: where, Reason: err.Error()})
	}
}

// Put adds samples that a List had, of a run that goes on.
func (b *BadSamples) Put(list []BadSample) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.seen == nil {
		b.seen = map[badKey]bool{}
	}
	for _, s := range list {
		if key := (badKey{s.Split, s.Index}); !b.seen[key] && len(b.list) < maxBadSamples {
			b.seen[key] = true
			b.list = append(b.list, s)
		}
	}
}

// Count is the number of samples left out so far.
func (b *BadSamples) Count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.seen)
}

// List is the samples left out, by split and index; of very many, some.
func (b *BadSamples) List() []BadSample {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := slices.Clone(b.list)
	slices.SortFunc(list, func(x, y BadSample) int {
		if x.Split != y.Split {
			if x.Split < y.Split {
				return -1
			}
			return 1
		}
		return int(int64(x.Index) - int64(y.Index))
	})
	return list
}
