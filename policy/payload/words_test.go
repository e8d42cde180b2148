package payload

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

func newWords(t testing.TB, entries ...string) *Words {
	t.Helper()
	w, skipped := NewWords(entries)
	if len(skipped) > 0 {
		t.Fatalf("NewWords skips %q", skipped)
	}
	return w
}

func TestForbiddenWords(t *testing.T) {
	for _, tt := range []struct {
		name, entry, text string
		found             bool
	}{
		{"a word", "darn", "oh darn it", true},
		{"at the ends", "darn", "darn", true},
		{"part of a word", "darn", "darning undarn", false},
		{"case", "darn", "DaRN", true},
		{"case of the entry", "DARN", "darn", true},
		{"between signs", "darn", "(darn!)", true},
		{"an underscore ends a word", "darn", "_darn_", true},
		{"an apostrophe ends a word", "darn", "darn's", true},
		{"digits are part of a word", "darn", "darn2", false},
		{"sharp s, capital", "straße", "STRAẞE", true},
		{"sharp s, spelt out", "strasse", "Straße", true},
		{"dotted capital I", "title", "Tİtle", true},
		{"dotless i", "title", "tıtle", true},
		{"long s", "darns", "darnſ", true},
		{"Kelvin sign", "kin", "\u212ain", true},
		{"final sigma", "ΟΔΟΣ", "οδος οδοσ", true},
		{"composed and not", "café", "cafe\u0301", true},
		{"marks do not count", "darn", "d\u0336a\u0301r\u0323n\u20dd", true},
		{"marks of the entry neither", "dárn", "darn", true},
		{"fullwidth", "darn", "ｄａｒｎ", true},
		{"mathematical letters", "darn", "𝐝𝒶𝓇𝔫", true},
		{"circled letters", "darn", "ⓓⓐⓡⓝ", true},
		{"ligature", "fine", "ﬁne", true},
		{"zero-width space", "darn", "da\u200brn", true},
		{"joiners, soft hyphen, byte order mark", "darn", "d\u200da\u00adr\ufeffn", true},
		{"direction marks", "darn", "da\u202er\u2066n", true},
		{"variation selector, tag", "darn", "da\ufe0frn\U000e0041", true},
		{"Hangul filler", "darn", "da\u3164rn", true},
		{"control character", "darn", "da\x08rn", true},
		{"replacement character", "darn", "da\ufffdrn", true},
		{"no-break space ends a word", "darn", "oh\u00a0darn\u2003it", true},
		{"braille blank ends a word", "darn", "oh\u2800darn", true},
		{"Ogham space, ideographic space", "darn", "oh\u1680darn\u3000it", true},
		{"two words", "oh darn", "OH \u00a0\t darn", true},
		{"two words in a row only", "oh darn", "oh no darn", false},
		{"a sign between two words", "oh darn", "oh, darn", false},
		{"a row that begins twice", "a a b", "a a a b", true},
		{"a row in a row", "b c", "a b c", true},
		{"signs in an entry", "d*rn", "d*rn", true},
		{"signs count", "c++", "the letter c", false},
		{"signs are found", "c++", "i like C++!", true},
		{"hyphens are one", "oh-darn", "oh\u2011darn", true},
		{"apostrophes are one", "can't", "CAN’T", true},
		{"Han is found anywhere", "坏话", "这是坏话吗", true},
		{"Thai is found anywhere", "หมา", "รักหมาไหม", true},
		{"Hangul", "나쁜", "나쁜 말", true},
		{"Hangul, part of a word", "나쁜", "나쁜말", false},
		{"Arabic with and without vowels", "كلب", "كَلْب", true},
		{"other letters that look alike", "darn", "dаrn", false}, // Cyrillic a
		{"empty", "darn", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, ok := newWords(t, "zzz", tt.entry, "zz yy xx").check([]byte(tt.text)); ok == tt.found {
				t.Errorf("%q in %q: found %v; want %v", tt.entry, tt.text, !ok, tt.found)
			}
		})
	}
}

func TestForbiddenWordsInJSON(t *testing.T) {
	w := newWords(t, "darn", "oh no")
	for _, tt := range []struct {
		payload, pointer string
		ok               bool
	}{
		{`{"text":"fine"}`, "", true},
		{`{"text":"oh darn"}`, "/text", false},
		{`{"a":[{"b/c":"x"},{"b/c":"d\u0061rn"}]}`, "/a/1/b~1c", false},
		{`{"d\u0061rn":1}`, "/darn", false},
		{`{"a":"da","b":"rn"}`, "", true},
		{`{"a":"oh","b":"no"}`, "", true},
		{`{"a":"x\ndarn\ty"}`, "/a", false},
		{`{"a":"da\ud800rn"}`, "/a", false},
		{`{"a":1,"a":"darn"}`, "/a", false},
		{`"darn"`, "", false},
		{`darn`, "", false},
		{`{"a":"d\u0061rn"`, "/a", false},
		{`{"a": x} darn`, "", false},
		{`{"a": x}`, "", true},
		{"\xff", "", false},
		{"da\xffrn", "", false},
		{"", "", true},
		{strings.Repeat("[", 100) + `"darn"` + strings.Repeat("]", 100), "", false},
	} {
		pointer, detail, ok := w.check([]byte(tt.payload))
		if ok != tt.ok || pointer != tt.pointer || ok != (detail == "") {
			t.Errorf("check(%q) = %q, %q, %v; want %q, %v", tt.payload, pointer, detail, ok, tt.pointer, tt.ok)
		}
	}
}

func TestEntriesWithoutAWordAreSkipped(t *testing.T) {
	long := strings.Repeat("a ", maxRow+1)
	w, skipped := NewWords([]string{"", " \u200b", "ok", long})
	if w.Len() != 1 || !slices.Equal(skipped, []string{"", " \u200b", long}) {
		t.Errorf("NewWords: %d, skipped %q", w.Len(), skipped)
	}
}

// tokens is how a text is cut by the book: folded as a whole, then rune by rune.
func tokens(text string) (row []string) {
	text = norm.NFKD.String(cases.Fold().String(norm.NFKD.String(text)))
	text = strings.NewReplacer("ı", "i", "‘", "'", "’", "'", "ʼ", "'").Replace(text)
	word := ""
	end := func() {
		if word != "" {
			row = append(row, word)
		}
		word = ""
	}
	for _, r := range text {
		if f := fold(r); f.text == "-" {
			r = '-'
		}
		switch classOf(r) {
		case blank:
			end()
		case letter:
			word += string(r)
		case alone:
			end()
			row = append(row, string(r))
		}
	}
	end()
	return row
}

// FuzzWords wants what a naive search for rows of words finds.
func FuzzWords(f *testing.F) {
	f.Add("darn\noh darn\nc++", "Oh DARN, c++")
	f.Add("a a b\na b\nstraße", "a a a b STRAẞE İ\u0307ı")
	f.Add("坏话\nหมา\nf*ck", "这是坏话 \u200bﷺ ½ ⑴ ﬁ")
	f.Fuzz(func(t *testing.T, list, text string) {
		if !utf8.ValidString(list) || !utf8.ValidString(text) || len(list)+len(text) > 1000 {
			return
		}
		entries := strings.Split(list, "\n")
		w, _ := NewWords(entries)
		got := (&search{words: w, longest: w.longest}).text([]byte(text))
		want := false
		all := tokens(text)
		for _, entry := range entries {
			row := tokens(entry)
			for i := 0; len(row) > 0 && len(row) <= maxRow && i+len(row) <= len(all); i++ {
				want = want || slices.Equal(all[i:i+len(row)], row)
			}
		}
		if got != want {
			t.Errorf("words %q in %q: %v; want %v", entries, text, got, want)
		}
	})
}

// manyWords are n that no text below holds.
func manyWords(n int) (entries []string) {
	for i := range n {
		entries = append(entries, fmt.Sprintf("x%dq", i), fmt.Sprintf("ž%d and %d", i, i%100))
	}
	return entries[:n]
}

// The promise is 100 MB/s with 50,000 words.
func BenchmarkWords(b *testing.B) {
	w := newWords(b, manyWords(50_000)...)
	for _, tt := range []struct{ name, text string }{
		{"english", "The quick brown fox jumps over the lazy dog, and then it goes home to sleep for 12 hours. "},
		{"german", "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. "},
		{"russian", "Съешь же ещё этих мягких французских булок, да выпей чаю. "},
		{"chinese", "天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。"},
		{"known", "x1 x2 ž1 and 2 ž1 and "},
		{"long", strings.Repeat("abcdefgh", 100)},
	} {
		text := strings.Repeat(tt.text, 64<<10/len(tt.text)+1)
		b.Run(tt.name, func(b *testing.B) { benchmarkWords(b, w, text) })
		b.Run("json/"+tt.name, func(b *testing.B) { benchmarkWords(b, w, `{"text":"`+text+`"}`) })
	}
}

func benchmarkWords(b *testing.B, w *Words, text string) {
	payload := []byte(text)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, ok := w.check(payload); !ok {
			b.Fatal("found")
		}
	}
}

func BenchmarkNewWords(b *testing.B) {
	entries := manyWords(50_000)
	for b.Loop() {
		NewWords(entries)
	}
}
