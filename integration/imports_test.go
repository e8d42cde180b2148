package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const ours = "topicgate/" // begins the import path of each of our packages

// row is what a package may import of ours, and must not import of others.
type row struct{ may, not []string }

// readImports reads the table in .ci/imports.txt.
func readImports(text string) (map[string]row, error) {
	table := map[string]row{}
	for n, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, rest, ok := strings.Cut(line, ":")
		if _, twice := table[name]; !ok || twice {
			return nil, fmt.Errorf("line %d: want \"package: packages\", each package once", n+1)
		}
		var r row
		for _, word := range strings.Fields(rest) {
			if path, not := strings.CutPrefix(word, "-"); not {
				r.not = append(r.not, path)
			} else {
				r.may = append(r.may, word)
			}
		}
		table[name] = r
	}
	return table, nil
}

// forbidden lists the imports that table does not allow. Each line of packages is a package and its imports.
func forbidden(table map[string]row, packages string) (list []string) {
	for line := range strings.Lines(packages) {
		fields := strings.Fields(line)
		name := strings.TrimPrefix(fields[0], ours)
		r, ok := table[name]
		if !ok {
			list = append(list, name+" has no line in .ci/imports.txt")
			continue
		}
		for _, path := range fields[1:] {
			own, isOurs := strings.CutPrefix(path, ours)
			below := func(outer string) bool { return path == outer || strings.HasPrefix(path, outer+"/") }
			if isOurs && !slices.Contains(r.may, own) || slices.ContainsFunc(r.not, below) {
				list = append(list, name+" imports "+path)
			}
		}
	}
	return list
}

func TestImportsAreThoseOfTheTable(t *testing.T) {
	text, err := os.ReadFile("../.ci/imports.txt")
	if err != nil {
		t.Fatal(err)
	}
	table, err := readImports(string(text))
	if err != nil {
		t.Fatal(err)
	}
	list := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	list.Dir = ".."
	var complaints bytes.Buffer
	list.Stderr = &complaints
	packages, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, complaints.String())
	}
	for _, f := range forbidden(table, string(packages)) {
		t.Error(f)
	}
	if len(packages) == 0 {
		t.Error("no packages")
	}
}

func TestForbiddenImportsAreFound(t *testing.T) {
	table, err := readImports("# a comment\nwire: frames\nsession: frames wire # likewise\nsubs: -net -time\n")
	if err != nil {
		t.Fatal(err)
	}
	packages := `topicgate/wire net net/http topicgate/frames topicgate/session
topicgate/session topicgate/wire topicgate/frames github.com/x/y
topicgate/subs net/url strings timeline
topicgate/new strings
`
	want := []string{"wire imports topicgate/session", "subs imports net/url", "new has no line in .ci/imports.txt"}
	if got := forbidden(table, packages); !slices.Equal(got, want) {
		t.Errorf("forbidden: %q; want %q", got, want)
	}
	for _, bad := range []string{"wire frames", "wire:\nwire: frames"} {
		if _, err := readImports(bad); err == nil {
			t.Errorf("%q was read; want an error", bad)
		}
	}
}
