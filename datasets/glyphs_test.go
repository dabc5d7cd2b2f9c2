package datasets

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"winnow/internal/missing"
	"winnow/loader"
	"winnow/loader/raster"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func open(t testing.TB, spec string) *Dataset {
	t.Helper()
	d, err := Open(spec, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// readAll reads the first n samples.
func readAll(t testing.TB, r loader.Records, n int) (images []byte, labels []int64) {
	t.Helper()
	var record loader.Record
	for i := range uint32(n) {
		if err := r.Read(i, &record); err != nil {
			t.Fatal(err)
		}
		images, labels = append(images, record.Data...), append(labels, r.Target(i).Class())
	}
	return images, labels
}

func TestGlyphsShapes(t *testing.T) {
	for _, c := range []struct {
		spec        string
		train, test int
		classes     int
		channels    int
		side        int
	}{
		{"glyphs", 20000, 4000, 10, 1, 28},
		{"glyphs:classes=36,color=rgb,train=60000,test=10000", 60000, 10000, 36, 3, 32},
		{"glyphs:classes=62,color=grey,train=7", 7, 4000, 62, 1, 28},
		{"glyphs:color=rgb,size=64,train=7", 7, 4000, 10, 3, 64},
	} {
		d := open(t, c.spec)
		ch, h, w := loader.ShapeOf(d.Train)
		if d.Train.Len() != c.train || d.Test.Len() != c.test || len(d.ClassNames) != c.classes || ch != c.channels || h != c.side || w != c.side {
			t.Errorf("%s: %d+%d samples, %d classes, %dx%dx%d", c.spec, d.Train.Len(), d.Test.Len(), len(d.ClassNames), ch, h, w)
		}
		if err := d.Train.Read(uint32(c.train), new(loader.Record)); err == nil {
			t.Errorf("%s: a sample past the end", c.spec)
		}
	}
}

// TestGlyphsSampleIsAFunctionOfSeedAndIndex: neither the number of samples nor
// the order or number of readers changes sample i; the split and seed do.
func TestGlyphsSampleIsAFunctionOfSeedAndIndex(t *testing.T) {
	const n = 300
	d := open(t, "glyphs:classes=62,color=rgb")
	images, labels := readAll(t, d.Train, n)
	size := len(images) / n

	more := open(t, "glyphs:classes=62,color=rgb,train=1000000")
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			var r loader.Record
			for k := range n {
				i := uint32((k*7 + g*50) % n)
				err := more.Train.Read(i, &r)
				if err != nil || more.Train.Target(i).Class() != labels[i] || !bytes.Equal(r.Data, images[int(i)*size:][:size]) {
					t.Errorf("sample %d differs on a second reading: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	for _, other := range []loader.Records{d.Test, open(t, "glyphs:classes=62,color=rgb,seed=1").Train} {
		got, _ := readAll(t, other, n)
		if same := bytes.Equal(got[:size], images[:size]); same {
			t.Errorf("%s: another split or seed has the same picture", loader.NameOf(other))
		}
	}
}

// TestGlyphsGolden holds the pictures still: results published for this data
// set stay comparable. The last bits depend on the processor's arithmetic.
func TestGlyphsGolden(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		missing.Skip(t, "the golden sums are those of amd64")
	}
	var got strings.Builder
	for _, spec := range []string{"glyphs", "glyphs:classes=62,color=rgb"} {
		images, labels := readAll(t, open(t, spec).Train, 1000)
		for _, y := range labels {
			images = append(images, byte(y))
		}
		sum := sha256.Sum256(images)
		got.WriteString(hex.EncodeToString(sum[:]) + "  " + spec + "\n")
	}
	path := filepath.Join("testdata", "glyphs.sha256")
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the pictures changed (go test -update to accept):\n%swant\n%s", got.String(), want)
	}
}

func TestGlyphsAreBalanced(t *testing.T) {
	for _, k := range []int{10, 37, 62} {
		d := open(t, "glyphs:classes="+strconv.Itoa(k)+",train="+strconv.Itoa(50*k)+",test="+strconv.Itoa(20*k))
		r, err := Describe(t.Context(), d, raster.Decoder{}, 1)
		if err != nil {
			t.Fatal(err)
		}
		for class := range k {
			if r.TrainCounts[class] != 50 || r.TestCounts[class] != 20 {
				t.Errorf("%d classes: class %d has %d and %d samples: want 50 and 20", k, class, r.TrainCounts[class], r.TestCounts[class])
			}
		}
	}
}

// TestGlyphsAreLegible: in a picture without noise and clutter the glyph
// covers a fair part, and stays off the border.
func TestGlyphsAreLegible(t *testing.T) {
	faces, err := glyphFaces()
	if err != nil {
		t.Fatal(err)
	}
	c := newCanvas(28)
	for f, face := range faces {
		for class := range face {
			for i := range uint64(40) {
				r := newStream(1, uint64(f), uint64(class)<<32|i)
				clear(c.pixels)
				x := 14 + r.Between(-glyphShift, glyphShift)*28
				y := 14 + r.Between(-glyphShift, glyphShift)*28
				c.outline(&face[class], c.fit(&face[class], c.pose(&r, x, y)))
				c.fill(colour{255})
				ink, border := int32(0), int32(0)
				for p, v := range c.pixels {
					ink += v[0]
					if y, x := p/28, p%28; y == 0 || y == 27 || x == 0 || x == 27 {
						border += v[0]
					}
				}
				if ink < 255*8 || ink > 255*28*28/2 || border > 255 {
					t.Fatalf("face %d, character %c, pose %d: %d of ink, %d on the border", f, glyphRunes[class], i, ink/255, border/255)
				}
			}
		}
	}
}

// softmaxRegression trains a multinomial logistic regression by SGD with
// momentum and returns its accuracy on the test images.
func softmaxRegression(x []byte, y []int64, tx []byte, ty []int64, size, classes, epochs int) float64 {
	weights := make([]float64, classes*(size+1))
	velocity := make([]float64, len(weights))
	scores := make([]float64, classes)
	forward := func(image []byte) {
		for k := range classes {
			w := weights[k*(size+1):][:size+1]
			s := w[size]
			for p, v := range image {
				s += w[p] * (float64(v)/255 - 0.4)
			}
			scores[k] = s
		}
	}
	const batch, momentum, rate = 50, 0.9, 0.02
	order, gradient := make([]uint32, len(y)), make([]float64, len(weights))
	for i := range order {
		order[i] = uint32(i)
	}
	for e := range epochs {
		loader.Order(1, e, order, nil)
		step := rate * (1 - float64(e)/float64(epochs))
		for b := 0; b+batch <= len(order); b += batch {
			clear(gradient)
			for _, i := range order[b : b+batch] {
				image := x[int(i)*size:][:size]
				forward(image)
				top, sum := scores[0], 0.0
				for _, s := range scores {
					top = max(top, s)
				}
				for k := range scores {
					scores[k] = math.Exp(scores[k] - top)
					sum += scores[k]
				}
				for k := range scores {
					d := scores[k] / sum
					if int64(k) == y[i] {
						d--
					}
					g := gradient[k*(size+1):][:size+1]
					for p, v := range image {
						g[p] += d * (float64(v)/255 - 0.4)
					}
					g[size] += d
				}
			}
			for p := range weights {
				velocity[p] = momentum*velocity[p] + gradient[p]/batch
				weights[p] -= step * velocity[p]
			}
		}
	}
	right := 0
	for i, label := range ty {
		forward(tx[i*size:][:size])
		best := 0
		for k, s := range scores {
			if s > scores[best] {
				best = k
			}
		}
		if int64(best) == label {
			right++
		}
	}
	return float64(right) / float64(len(ty))
}

// TestGlyphsAreHardForALinearModel: a linear model learns something, and less
// than the 85% over which the data set would show no difference of models.
func TestGlyphsAreHardForALinearModel(t *testing.T) {
	d := open(t, "glyphs")
	x, y := readAll(t, d.Train, 10000)
	tx, ty := readAll(t, d.Test, 2000)
	got := softmaxRegression(x, y, tx, ty, 784, 10, 6)
	t.Logf("softmax regression: %.3f of 2000 test samples", got)
	if got < 0.15 || got > 0.85 {
		t.Errorf("softmax regression reaches %.3f: want 0.15 to 0.85", got)
	}
	// The same code on an easy problem: one bright pixel tells the class.
	clear(x)
	clear(tx)
	for i, label := range y {
		x[i*784+int(label)] = 255
	}
	for i, label := range ty {
		tx[i*784+int(label)] = 255
	}
	if easy := softmaxRegression(x[:1000*784], y[:1000], tx, ty, 784, 10, 6); easy < 0.99 {
		t.Errorf("softmax regression reaches %.3f on separable data: the check is broken", easy)
	}
}
