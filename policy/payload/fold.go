package payload

import (
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// class is what a folded rune is to words.
type class uint8

const (
	hidden class = iota // left out: nobody sees it, or it is a mark
	blank               // ends a word
	letter              // makes words together with its neighbours
	alone               // is a word
	mixed               // of a fold: several of these
)

// folded is what one rune becomes.
type folded struct {
	text  string
	hash  uint32 // of the text
	class class
}

// folds are made by the page of 256 runes, when the first of them is met.
var folds [unicode.MaxRune>>8 + 1]atomic.Pointer[[256]folded]

// foldOf is what r becomes.
func foldOf(r rune) *folded {
	page := folds[r>>8].Load()
	if page == nil {
		page = new([256]folded)
		for i := range page {
			page[i] = fold(r&^0xff | rune(i))
		}
		folds[r>>8].Store(page)
	}
	return &page[r&0xff]
}

func fold(r rune) folded {
	if !utf8.ValidRune(r) {
		return folded{}
	}
	text := norm.NFKD.String(cases.Fold().String(norm.NFKD.String(string(r))))
	var f folded
	for _, r := range text {
		switch r { // signs that stand for one another, and are no compatibility forms
		case 'ı':
			r = 'i'
		case '‘', '’', 'ʼ':
			r = '\''
		}
		if unicode.Is(unicode.Pd, r) {
			r = '-'
		}
		c := classOf(r)
		switch {
		case c == hidden:
			continue
		case f.text == "":
			f.class = c
		case c != letter || f.class != letter:
			f.class = mixed
		}
		f.text += string(r)
	}
	if f.class == blank {
		f.text = " "
	}
	f.hash = hash([]byte(f.text))
	return f
}

// withoutSpaces are scripts that are written without spaces between words.
var withoutSpaces = []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.Bopomofo, unicode.Yi}

// unseen are letters and signs that show nothing.
var unseen = map[rune]bool{'\u115f': true, '\u1160': true, '\u3164': true, '\uffa0': true, '\u17b4': true, '\u17b5': true, utf8.RuneError: true}

// classOf is that of a rune that is folded already.
func classOf(r rune) class {
	switch {
	case unseen[r]:
		return hidden
	case r == '\u2800', unicode.IsSpace(r), unicode.Is(unicode.Z, r):
		return blank
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point):
		return hidden
	case unicode.In(r, unicode.Mn, unicode.Me):
		if unicode.Is(unicode.Inherited, r) || norm.NFKD.PropertiesString(string(r)).CCC() != 0 {
			return hidden
		}
	case !unicode.In(r, unicode.L, unicode.N, unicode.Mc):
		return alone
	}
	if unicode.In(r, withoutSpaces...) {
		return alone
	}
	return letter
}

// plainText is the same for ASCII: the letter or digit in lower case, or the sign, and what it is.
var plainText, plainClass = func() (text [utf8.RuneSelf]byte, classes [utf8.RuneSelf]class) {
	for r := range rune(utf8.RuneSelf) {
		f := fold(r)
		classes[r] = f.class
		if f.text != "" {
			text[r] = f.text[0]
		}
	}
	return text, classes
}()
