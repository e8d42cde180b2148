package config

import (
	"flag"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of settings into this folder's README.md")

// go test ./config -update writes what it else compares.
func TestTheReadmeHasTheTableOfSettings(t *testing.T) {
	const readme = "README.md"
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), "<!-- settings -->\n")
	table, after, closed := strings.Cut(rest, "<!-- /settings -->")
	if !found || !closed {
		t.Fatalf("%s lacks <!-- settings --> or <!-- /settings -->", readme)
	}
	if *update {
		whole := before + "<!-- settings -->\n" + MarkdownTable() + "<!-- /settings -->" + after
		if err := os.WriteFile(readme, []byte(whole), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if strings.TrimSpace(table) != strings.TrimSpace(MarkdownTable()) {
		t.Errorf("the settings of %s are not those of the program; write them by: go test ./config -update", readme)
	}
}

func TestEverySettingIsDescribed(t *testing.T) {
	tags := regexp.MustCompile(`(?:^| )([a-zA-Z]+):"`)
	seen := make(map[string]bool)
	for f := range fields() {
		name, doc := f.Tag.Get("env"), f.Tag.Get("doc")
		if doc == "" || typeOf(f) == "" {
			t.Errorf("%s has no meaning or no type", f.Name)
		}
		if strings.Count(doc, "'")%2 != 0 || strings.HasSuffix(doc, ".") {
			t.Errorf("doc of %s ends in a full stop or has an odd quote: %s", f.Name, doc)
		}
		if seen[name] {
			t.Errorf("%s stands there twice", name)
		}
		seen[name] = true
		for _, tag := range tags.FindAllStringSubmatch(string(f.Tag), -1) {
			if !strings.Contains(" env envDefault doc min max type required empty part ", " "+tag[1]+" ") {
				t.Errorf("%s has an unknown tag %s", f.Name, tag[1])
			}
		}
	}
	if exported := len(reflect.VisibleFields(reflect.TypeFor[Config]())) - 2; len(seen) != exported {
		t.Errorf("%d settings; the struct has %d fields besides Warnings and given", len(seen), exported)
	}
}

func TestPrint(t *testing.T) {
	var b strings.Builder
	if err := Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"TOPICGATE_LISTEN  (address; default :8083)\n    WebSocket listener\n",
		"TOPICGATE_OIDC_ISSUER  (list of issuers; required)\n",
		"TOPICGATE_TLS_CERT_FILE  (file)\n",
		"TOPICGATE_UPSTREAM_PASSWORD  (secret)\n",
		"TOPICGATE_NARROW_MAX  (number, 1 to 100000; default 1000)\n",
		"'TOPICGATE_UPSTREAM_PASSWORD_FILE'",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("Print lacks %q:\n%s", want, b.String())
		}
	}
	for line := range strings.Lines(b.String()) {
		if len(line) > 81 && strings.HasPrefix(line, " ") {
			t.Errorf("a long line: %s", line)
		}
	}
}

func TestMarkdownTable(t *testing.T) {
	table := MarkdownTable()
	if want := "| `TOPICGATE_LISTEN` | address | `:8083` | WebSocket listener |\n"; !strings.Contains(table, want) {
		t.Errorf("MarkdownTable lacks %q:\n%s", want, table)
	}
	for line := range strings.Lines(table) {
		if strings.Count(line, "|")-strings.Count(line, `\|`) != 5 {
			t.Errorf("not four columns: %s", line)
		}
	}
}

func TestValuesShowWhatWasSetAndWhereItCameFrom(t *testing.T) {
	c := mustLoad(t, environ("OIDC_ISSUER=https://id.example.com  discovery=http://inside prefix=a:", "UPSTREAM_PASSWORD=hunter2", "UPSTREAM_URLS=tls://b , tcp://c", "MAX_PACKET_SIZE=2048KiB",
		"TOKEN_SOURCES=cookie:t", "TRUSTED_PROXIES=10.0.0.1", "LOG_LEVEL=DEBUG", "WRITE_TIMEOUT=90s", "LISTEN="))
	var got []string
	for _, v := range c.Values() {
		if v.Source != v.Variable {
			t.Errorf("%s comes from %s; want itself", v.Variable, v.Source)
		}
		got = append(got, strings.TrimPrefix(v.Variable, Prefix)+"="+v.Text)
	}
	want := "TRUSTED_PROXIES=10.0.0.1/32 OIDC_ISSUER=https://id.example.com prefix=a: discovery=http://inside OIDC_AUDIENCE=topicgate TOKEN_SOURCES=cookie:t " +
		"UPSTREAM_URLS=tls://b:8883,tcp://c:1883 UPSTREAM_PASSWORD=[redacted] MAX_PACKET_SIZE=2MiB WRITE_TIMEOUT=1m30s LOG_LEVEL=debug"
	if strings.Join(got, " ") != want {
		t.Errorf("Values() = %s;\nwant %s", strings.Join(got, " "), want)
	}
}
