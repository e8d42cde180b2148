package payload

import (
	"bytes"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxRow is how many words one entry may hold.
const maxRow = 64

// Words is a set of forbidden words and rows of words. It is immutable.
type Words struct {
	known   map[string]known
	rows    map[step]uint32 // a trie; 0 is its root
	ends    []bool          // by node: a row ends there
	longest int             // bytes of a known word
	some    [filterBits / 64]uint64
	n       int
}

// known is a word that stands in some entry.
type known struct {
	id     uint32
	whole  bool // it is an entry itself
	begins bool // rows begin with it
	goesOn bool // it stands further on in rows
}

type step struct{ node, word uint32 }

// filterBits is the size of a filter that tells most words from the known ones without a look-up.
const filterBits = 1 << 20

// NewWords makes a set; skipped are entries that hold no word at all, or more than 64.
func NewWords(entries []string) (w *Words, skipped []string) {
	w = &Words{known: make(map[string]known, len(entries)), rows: make(map[step]uint32), ends: make([]bool, 1)}
	for _, entry := range entries {
		row := rowOf(entry)
		if len(row) == 0 || len(row) > maxRow {
			skipped = append(skipped, entry)
			continue
		}
		w.n++
		w.add(row)
	}
	return w, skipped
}

// Len is the number of entries.
func (w *Words) Len() int { return w.n }

func (w *Words) add(row []string) {
	node := uint32(0)
	for i, word := range row {
		k, old := w.known[word]
		if !old {
			k.id = uint32(len(w.known)) + 1
			w.longest = max(w.longest, len(word))
			h := hash([]byte(word))
			w.some[h/64] |= 1 << (h % 64)
		}
		k.whole = k.whole || len(row) == 1
		k.begins = k.begins || len(row) > 1 && i == 0
		k.goesOn = k.goesOn || i > 0
		w.known[word] = k
		if len(row) == 1 {
			return
		}
		at := step{node, k.id}
		next := w.rows[at]
		if next == 0 {
			next = uint32(len(w.ends))
			w.ends = append(w.ends, false)
			w.rows[at] = next
		}
		node = next
	}
	w.ends[node] = true
}

// may is false for the hash of a word that is not known.
func (w *Words) may(hash uint32) bool { return w.some[hash/64]&(1<<(hash%64)) != 0 }

// rowOf cuts an entry into its words.
func rowOf(entry string) (row []string) {
	s := search{word: make([]byte, 0, 64), longest: len(entry) * 16} // a fold is at most so much longer
	s.each = func(word []byte) bool {
		row = append(row, string(word))
		return len(row) > maxRow
	}
	s.text([]byte(entry))
	return row
}

// check looks at a payload: at all strings in it, names of members too, when it is JSON, else at all of it.
func (w *Words) check(payload []byte) (pointer, detail string, ok bool) {
	if !utf8.Valid(payload) {
		return "", "the message is no text (UTF-8), so it cannot be searched for words", false
	}
	if w.n == 0 {
		return "", "", true
	}
	const found = "the message holds a word that is not allowed here"
	s := search{words: w, word: make([]byte, 0, w.longest+utf8.UTFMax), longest: w.longest}
	isJSON := false
	if !tooDeep(payload) {
		var where jsontext.Pointer
		if where, isJSON, ok = s.strings(payload); !ok {
			return bounded(string(where), maxPointer), found, false
		}
	}
	if !isJSON && s.text(payload) {
		return "", found, false
	}
	return "", "", true
}

// strings looks at those of a JSON text.
func (s *search) strings(payload []byte) (where jsontext.Pointer, isJSON, ok bool) {
	d := jsontext.NewDecoder(bytes.NewBuffer(payload), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) // half a surrogate pair
	var scratch []byte
	for {
		switch d.PeekKind() {
		case '"':
			raw, err := d.ReadValue()
			if err != nil {
				return "", false, true
			}
			text := raw[1 : len(raw)-1]
			if bytes.IndexByte(raw, '\\') >= 0 {
				scratch, _ = jsontext.AppendUnquote(scratch[:0], raw)
				text = scratch
			}
			if s.text(text) {
				return d.StackPointer(), true, false
			}
		case 0:
			_, err := d.ReadToken()
			return "", err == io.EOF && d.InputOffset() > 0, true
		default:
			if _, err := d.ReadToken(); err != nil {
				return "", false, true
			}
		}
	}
}

// search goes through texts, word by word.
type search struct {
	words   *Words
	each    func(word []byte) bool // in place of words
	word    []byte                 // so far
	long    bool                   // it is longer than any known one
	longest int
	active  []uint32 // nodes of the rows that may go on
}

// text reports whether something forbidden stands in a text.
func (s *search) text(text []byte) bool {
	s.word, s.long, s.active = s.word[:0], false, s.active[:0]
	for i := 0; i < len(text); {
		if c := text[i]; c < utf8.RuneSelf {
			i++
			switch plainClass[c] {
			case letter:
				if len(s.word) < s.longest {
					s.word = append(s.word, plainText[c])
				} else {
					s.long = true
				}
			case hidden:
			case alone:
				if s.end() || s.take(plainText[c:c+1]) {
					return true
				}
			default:
				if s.end() {
					return true
				}
			}
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		i += size
		f := foldOf(r)
		if f.class == alone && len(s.word) == 0 && !s.long && s.words != nil && !s.words.may(f.hash) {
			s.active = s.active[:0] // what take would find out
			continue
		}
		if f.class != mixed {
			if s.next(f.class, f.text) {
				return true
			}
		} else if s.several(f.text) {
			return true
		}
	}
	return s.end()
}

// several goes on with what one rune stands for.
func (s *search) several(text string) bool {
	for i, r := range text {
		if s.next(classOf(r), text[i:i+utf8.RuneLen(r)]) {
			return true
		}
	}
	return false
}

func (s *search) next(c class, text string) bool {
	switch c {
	case letter:
		if len(s.word)+len(text) <= s.longest {
			s.word = append(s.word, text...)
		} else {
			s.long = true
		}
	case alone:
		if s.end() {
			return true
		}
		found := s.take(append(s.word, text...))
		s.word = s.word[:0]
		return found
	case blank:
		return s.end()
	}
	return false
}

// end ends a word.
func (s *search) end() bool {
	if len(s.word) == 0 && !s.long {
		return false
	}
	found := false
	if s.long {
		s.active, s.long = s.active[:0], false
	} else {
		found = s.take(s.word)
	}
	s.word = s.word[:0]
	return found
}

// take looks a word up, and goes on with rows.
func (s *search) take(word []byte) bool {
	if s.each != nil {
		return s.each(word)
	}
	w := s.words
	h := hash(word)
	if !w.may(h) {
		s.active = s.active[:0]
		return false
	}
	k, ok := w.known[string(word)]
	switch {
	case !ok:
		s.active = s.active[:0]
		return false
	case k.whole:
		return true
	}
	going := s.active
	s.active = s.active[:0]
	if k.goesOn {
		for _, node := range going {
			if s.follow(node, k.id) {
				return true
			}
		}
	}
	return k.begins && s.follow(0, k.id)
}

func (s *search) follow(node, word uint32) bool {
	next := s.words.rows[step{node, word}]
	if next == 0 {
		return false
	}
	s.active = append(s.active, next)
	return s.words.ends[next]
}

// hash is FNV-1a, cut to the filter. Who makes words collide gains a look-up each.
func hash(word []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range word {
		h = (h ^ uint32(c)) * 16777619
	}
	return (h ^ h>>20) % filterBits
}
