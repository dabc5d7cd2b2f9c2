package guard_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"winnow/internal/guard"
)

// empty has no elements, as the compiler does not know.
var empty []int

func trips() error {
	none := make([]int, len(empty))
	return errors.New(strings.Repeat("a", none[len(empty)]))
}

// holds checks that err is a panic of trips, in one line, with its stack.
func holds(t *testing.T, how string, err error) {
	t.Helper()
	var p *guard.Panic
	if !errors.As(err, &p) || !errors.Is(err, guard.ErrPanic) {
		t.Fatalf("%s: %v is no panic", how, err)
	}
	if text := err.Error(); !strings.Contains(text, "index out of range [0] with length 0, at winnow/internal/guard_test.trips (guard_test.go:") || strings.Contains(text, "\n") {
		t.Errorf("%s: %s", how, text)
	}
	if stack := string(p.Stack()); !strings.Contains(stack, "guard_test.trips") || !strings.Contains(stack, "goroutine ") {
		t.Errorf("%s: the stack is\n%s", how, stack)
	}
}

// A panic is an error with its place, in whatever goroutine it was.
func TestGuard(t *testing.T) {
	holds(t, "Call", guard.Call(trips))
	done := make(chan error, 1)
	guard.Go(trips, func(err error) { done <- err })
	holds(t, "Go", <-done)
	holds(t, "Recover", func() (err error) {
		defer guard.Recover(&err)
		return trips()
	}())
	holds(t, "Group", guard.Call(func() error {
		var g guard.Group
		for range 3 {
			g.Go(func() { _ = trips() })
		}
		g.Wait()
		return errors.New("Wait came back")
	}))
	holds(t, "Workers", guard.Workers(context.Background(), 3, func(ctx context.Context) error {
		_ = trips()
		return errors.New("the worker goes on")
	}))
	holds(t, "wrapped", fmt.Errorf("sample 3: %w", guard.Call(trips)))

	if err := guard.Call(func() error { panic(errors.New("first\nsecond")) }); !strings.Contains(err.Error(), "first, at") || strings.Contains(err.Error(), "\n") {
		t.Errorf("a value of two lines: %v", err)
	}
	if err := guard.Call(func() error { panic(context.Canceled) }); errors.Is(err, context.Canceled) {
		t.Error("a panic has the exit code of what it was about")
	}
}

// What does not panic ends as it would without a guard.
func TestErrors(t *testing.T) {
	own := errors.New("own")
	if err := guard.Call(func() error { return own }); err != own {
		t.Errorf("Call: %v", err)
	}
	ended := make(chan struct{}, 2)
	err := guard.Workers(context.Background(), 3, func(ctx context.Context) error {
		select {
		case ended <- struct{}{}: // two of them wait for the error of the third
			<-ctx.Done()
			return ctx.Err()
		default:
			return own
		}
	})
	if err != own {
		t.Errorf("Workers: %v", err)
	}
	if err := guard.Workers(context.Background(), 3, func(context.Context) error { return nil }); err != nil {
		t.Errorf("Workers without an error: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := guard.Workers(ctx, 1, func(context.Context) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Workers whose context has ended: %v", err)
	}
}

// Every goroutine of the program starts here, and is guarded so.
func TestEveryGoroutine(t *testing.T) {
	seen := 0
	err := filepath.WalkDir("../..", func(path string, e fs.DirEntry, err error) error {
		name := e.Name()
		switch {
		case err != nil:
			return err
		case e.IsDir() && (name == "bench" || name == "guard" || name == "testdata" || strings.HasSuffix(name, "test") || strings.HasPrefix(name, ".") && name != ".."):
			return filepath.SkipDir
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		seen++
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: a goroutine without a guard: start it with guard.Go", files.Position(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "sync" && n.Sel.Name == "WaitGroup" {
					t.Errorf("%s: goroutines without a guard: wait for them with guard.Group", files.Position(n.Pos()))
				}
			}
			return true
		})
		return nil
	})
	if err != nil || seen < 300 {
		t.Errorf("%d files were read: %v", seen, err)
	}
}
