package auth

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

func TestNamesThatIssuersGivePass(t *testing.T) {
	for _, name := range []string{
		"alice", "auth0|5f7c8ec7c33c6c004bbafe82", "google-oauth2|103547991597142817347", "alice@example.com", "alice%40example.com",
		"248289761001", "0b5e6d5e-7c0e-4b1c-9d4a-0d3c6e4f5a61", "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", // the Subject of Entra ID
		"us-east-1:b4f7a3c2-8e0d-4a3b-9f43-0c2d0d9d1a11", "{username}", "~!$&'()*,;=:?.<>[]\\^`{}\"",
		"Alice Smith", "Zoë O'Neil", "李小龍", "Ελένη", "Владимир", "דוד", "محمد", "محمد٣", "col·lega", "Straße", "İlker", "กานต์",
		strings.Repeat("ё", 512),
	} {
		if problem := nameProblem(name); problem != "" {
			t.Errorf("nameProblem(%+q) = %q; want none", name, problem)
		}
	}
}

func TestNamesThatCouldBeTakenForAnothersAreRefused(t *testing.T) {
	for name, want := range map[string]string{
		"alice ":                   "space",
		" alice":                   "space",
		"alice  smith":             "space",
		" ":                        "space",
		"alice\u00a0":              "U+00A0",
		"alice\u2003smith":         "U+2003",
		"alice\u3000":              "U+3000",
		"ali\u200bce":              "U+200B",
		"ali\u200cce":              "U+200C",
		"ali\u200dce":              "U+200D",
		"क्\u200dष":                "U+200D", // where RFC 8264 would allow it
		"alice\ufeff":              "U+FEFF",
		"ali\u00adce":              "U+00AD",
		"alice\u2060":              "U+2060",
		"alice\ufe0f":              "U+FE0F",
		"\u202eecila":              "U+202E",
		"alice\u0301\u200e":        "U+200E",
		"zoe\u0308":                "normal form", // ë in two
		"\u212bngström":            "U+212B",
		"\ufb01lip":                "U+FB01",
		"\uff41lice":               "U+FF41",
		"1\u2074":                  "U+2074",
		"a\U0001f600":              "U+1F600",
		"a-דוד":                    "directions",
		"alice\U000e0041":          "U+E0041",
		"\u0378":                   "U+0378", // nothing yet
		"alice\u2028smith":         "U+2028",
		"smith \u1100\u1161\u11a8": "U+1100", // a Hangul syllable in three
	} {
		if problem := nameProblem(name); !strings.Contains(problem, want) {
			t.Errorf("nameProblem(%+q) = %q; want it to say %q", name, problem, want)
		}
	}
}

func TestCertificateNamesAreHeldAgainstTheSameRules(t *testing.T) {
	_, err := FromCertificate(&x509.Certificate{Subject: pkix.Name{CommonName: "sensor-1\u200b"}}, "")
	if got := reasonOf(t, err); got != ReasonBadUsername || !strings.Contains(err.Error(), "U+200B") {
		t.Errorf("FromCertificate() = %v; want %s that names U+200B", err, ReasonBadUsername)
	}
	if id, err := FromCertificate(&x509.Certificate{Subject: pkix.Name{CommonName: "Alice Smith"}}, ""); err != nil || id.Username != "Alice Smith" {
		t.Errorf("FromCertificate() = %q, %v; want Alice Smith", id.Username, err)
	}
}

// FuzzNames: no two names that pass become one for a program that brings names to another normal form, drops what
// cannot be seen or trims blanks.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"alice", "ﬁ", "zoe\u0308", "a b", "a\u200b", "Ａ", "\u1e9b\u0323", "क्\u200dष", "\u0345"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if nameProblem(name) != "" {
			return
		}
		if folded := foldLoosely(name); folded != name {
			t.Errorf("nameProblem(%+q) = \"\", but some take it for %+q", name, folded)
		}
	})
}

// foldLoosely is what a careless program may make of a name.
func foldLoosely(name string) string {
	visible := strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cf, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point) {
			return -1
		}
		return r
	}, norm.NFKC.String(name))
	return strings.Join(strings.Fields(visible), " ")
}
