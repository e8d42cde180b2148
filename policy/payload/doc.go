// Package payload holds messages against directives: what a payload must look like, and who is said to have sent it.
// It knows no session and no Redis: package store keeps the schemas and words, sessions ask.
//
// The order is [Limits], [Check], [Stamp]; permission comes before, and is package policy's.
//
// # What a payload may cost
//
// Everything here is linear in the payload. Patterns are RE2's, numbers are bounded before anybody computes with them,
// nesting is at most [MaxDepth], and nothing outside a schema's own text is ever loaded. A schema that refers to itself in
// several alternatives would cost a power of the nesting: such a one takes payloads only as deep as keeps the
// subschemas that look at one value below a bound (visits.go).
//
// # Words
//
// A forbidden word is found as a whole word, or a row of them, whatever its case. Text and words are folded alike:
// compatibility forms (fullwidth, circled, ligatures, mathematical letters) become plain ones by NFKD, case is folded
// in full (ẞ, ß and SS are ss, İ and ı are i), marks above and below letters are left out, and so is what nobody sees:
// zero-width spaces and joiners, soft hyphens, control characters. All spaces are one. Words end where letters and
// digits do (UAX 29, but '_' and the apostrophe end a word too), and each letter of a script that is written
// without spaces (Han, kana, Thai, Lao, Khmer, Myanmar) is a word, so that in these a forbidden word is found anywhere. Any other
// sign is a word of its own: the entry "f*ck" is found as it stands, "c++" does not forbid the letter c. Letters of
// different scripts that look alike are different letters.
//
// A hash of whole words is all that is needed for that, where an Aho-Corasick automaton would find many that are no
// words and have to look at their ends (BenchmarkWords). Where each word begins many rows it costs a look-up for each of
// them that is still going on, at most 64.
package payload
