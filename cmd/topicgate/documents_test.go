package main

import (
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// root is the top level, seen from here.
const root = "../.."

// What is told in README.md is what somebody new needs; the rest stands in the READMEs of the folders.
func TestTheReadmeIsShort(t *testing.T) {
	const most = 200
	if lines := strings.Count(readDocument(t, "README.md"), "\n"); lines > most {
		t.Errorf("README.md has %d lines; want %d at most", lines, most)
	}
}

func readDocument(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// files lists what ends so by its path from the top level.
func files(t *testing.T, end string) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "bin", "node_modules"}, entry.Name()):
			return fs.SkipDir
		case !entry.IsDir() && strings.HasSuffix(name, end):
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

var (
	fence    = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	codeSpan = regexp.MustCompile("`[^`\n]*`")
	link     = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#{1,6} +(.+)$`)
	linkText = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// anchors are the fragments that the headings of a document can be reached by on GitHub.
func anchors(text string) map[string]bool {
	found := make(map[string]bool)
	for _, h := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, linkText.ReplaceAllString(h[1], "$1"))
		unique := slug
		for n := 1; found[unique]; n++ {
			unique = fmt.Sprintf("%s-%d", slug, n)
		}
		found[unique] = true
	}
	return found
}

func TestAnchorsAreThoseOfGitHub(t *testing.T) {
	got := anchors("# A b\n```\n# no\n```\n## `$x/`: what's [this](y)?\n## A b\n")
	if want := map[string]bool{"a-b": true, "x-whats-this": true, "a-b-1": true}; !maps.Equal(got, want) {
		t.Errorf("anchors = %v; want %v", got, want)
	}
}

func TestEveryLinkOfTheDocumentsLeadsSomewhere(t *testing.T) {
	checked := 0
	for _, name := range files(t, ".md") {
		text := codeSpan.ReplaceAllString(fence.ReplaceAllString(readDocument(t, name), ""), "`")
		for _, l := range link.FindAllStringSubmatch(text, -1) {
			target, err := url.Parse(l[1])
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if target.Scheme != "" {
				continue // somewhere else
			}
			checked++
			document := name
			if target.Path != "" {
				document = path.Join(path.Dir(name), target.Path)
			}
			if _, err := os.Stat(filepath.Join(root, document)); err != nil {
				t.Errorf("%s: link to %s: no such file", name, l[1])
				continue
			}
			if target.Fragment != "" && !anchors(readDocument(t, document))[target.Fragment] {
				t.Errorf("%s: link to %s: no such heading", name, l[1])
			}
		}
	}
	if checked < 20 {
		t.Errorf("%d links found; is something wrong with the search?", checked)
	}
}

var (
	code      = regexp.MustCompile("`([^`]+)`")
	sample    = regexp.MustCompile(`(?m)^(topicgate_\w+)(?:\{(.*)\})? `)
	labelPair = regexp.MustCompile(`(\w+)="([^"]*)"`)
)

// rows returns the cells of the table between two markers, without its head.
func rows(t *testing.T, document, marker string) [][]string {
	t.Helper()
	_, rest, found := strings.Cut(readDocument(t, document), "<!-- "+marker+" -->\n")
	table, _, closed := strings.Cut(rest, "<!-- /"+marker+" -->")
	if !found || !closed {
		t.Fatalf("%s lacks <!-- %s --> or <!-- /%[2]s -->", document, marker)
	}
	var list [][]string
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		list = append(list, cells)
	}
	if len(list) < 3 {
		t.Fatalf("%s: the table %s has no rows", document, marker)
	}
	return list[2:]
}

// codes adds what is marked as code in a cell.
func codes(words map[string]bool, cell string) {
	for _, m := range code.FindAllStringSubmatch(cell, -1) {
		words[m[1]] = true
	}
}

// compare names what is in one of two sets alone.
func compare(t *testing.T, document string, told, real map[string]bool) {
	t.Helper()
	for word := range real {
		if !told[word] {
			t.Errorf("%s does not tell of %s", document, word)
		}
	}
	for word := range told {
		if !real[word] {
			t.Errorf("%s tells of %s, which there is not", document, word)
		}
	}
}

// All label values are exported from the start, so /metrics of a gateway that has done nothing tells them all.
func TestTheDocumentsTellOfEveryMetricAndReason(t *testing.T) {
	_, exported := get(t, "http://"+startGateway(t, "TOPICGATE_POLICY_FILE="+writeFile(t, "acl", "pattern read a\n")).admin+"/metrics")
	labels := make(map[string]map[string]bool) // names by metric
	values := make(map[string]map[string]bool) // by metric and label
	for _, s := range sample.FindAllStringSubmatch(exported, -1) {
		metric := s[1]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} { // of a histogram
			metric = strings.TrimSuffix(metric, suffix)
		}
		if labels[metric] == nil {
			labels[metric] = make(map[string]bool)
		}
		for _, pair := range labelPair.FindAllStringSubmatch(s[2], -1) {
			if pair[1] == "le" {
				continue
			}
			labels[metric][pair[1]] = true
			key := metric + " " + pair[1]
			if values[key] == nil {
				values[key] = make(map[string]bool)
			}
			if pair[2] != "other" { // counts what is in no list
				values[key][pair[2]] = true
			}
		}
	}

	told, metrics := make(map[string]bool), make(map[string]bool)
	for metric := range labels {
		metrics[metric] = true
	}
	for _, row := range rows(t, "gateway/README.md", "metrics") {
		metric := strings.Trim(row[0], "`")
		told[metric] = true
		names := make(map[string]bool)
		codes(names, row[1])
		compare(t, "gateway/README.md: "+metric, names, labels[metric])
	}
	compare(t, "gateway/README.md", told, metrics)

	ends := make(map[string]bool)
	for _, row := range rows(t, "gateway/README.md", "ends") {
		reasons := make(map[string]bool)
		codes(reasons, row[2])
		for reason := range reasons {
			if !strings.HasPrefix(reason, "TOPICGATE_") {
				ends[reason] = true
			}
		}
	}
	compare(t, "gateway/README.md, ends", ends, values["topicgate_sessions_ended_total reason"])

	results := make(map[string]bool)
	for _, row := range rows(t, "auth/README.md", "results") {
		codes(results, row[0])
	}
	compare(t, "auth/README.md", results, values["topicgate_token_verifications_total result"])

	reasons := make(map[string]bool)
	for _, row := range rows(t, "gateway/README.md", "reasons") {
		codes(reasons, row[0])
	}
	delete(reasons, "token_<result>")
	for result := range results {
		reasons["token_"+result] = true
	}
	compare(t, "gateway/README.md, reasons", reasons, values["topicgate_rejections_total reason"])
}

var fuzzTarget = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)

// What a fuzz target begins with is kept with it: where nothing was found yet, go test begins with that alone.
func TestEveryFuzzTargetHasSeeds(t *testing.T) {
	targets := 0
	for _, name := range files(t, "_test.go") {
		for _, target := range fuzzTarget.FindAllStringSubmatch(readDocument(t, name), -1) {
			targets++
			dir := path.Join(path.Dir(name), "testdata/fuzz", target[1])
			if seeds, err := os.ReadDir(filepath.Join(root, dir)); err != nil || len(seeds) == 0 {
				t.Errorf("%s has no seeds in %s", target[1], dir)
			}
		}
	}
	if targets < 15 {
		t.Errorf("%d fuzz targets found; is something wrong with the search?", targets)
	}
}

// What the documents say is shown by tests that there are; and each test of an outage is in the table of outages.
func TestEveryTestThatADocumentNamesIsThere(t *testing.T) {
	var all strings.Builder
	for _, name := range files(t, "_test.go") {
		all.WriteString(readDocument(t, name))
	}
	for name, least := range map[string]int{".github/SECURITY.md": 30, "deploy/README.md": 7, "deploy/examples/README.md": 5} {
		named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(readDocument(t, name), -1)
		if len(named) < least {
			t.Errorf("%s names %d tests; want those of the whole page", name, len(named))
		}
		for _, match := range named {
			if !strings.Contains(all.String(), "\nfunc "+match[1]+"(") {
				t.Errorf("there is no %s, which %s names", match[1], name)
			}
		}
	}
	outages := regexp.MustCompile("(?m)^func (TestClients[A-Za-z0-9]+)").FindAllStringSubmatch(readDocument(t, "integration/outages_test.go"), -1)
	for _, test := range outages {
		if !strings.Contains(readDocument(t, "deploy/README.md"), "`"+test[1]+"`") {
			t.Errorf("deploy/README.md does not name %s in its table of outages", test[1])
		}
	}
	if len(outages) == 0 {
		t.Error("there is no test of an outage")
	}
}
