package subs

import (
	"testing"
	"unsafe"
)

// An idle session holds these for each of its filters. A size beyond a size class of the allocator costs as much as
// the next one.
func TestWhatAFilterCostsStaysSmall(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, most uintptr
	}{
		{"subscription", unsafe.Sizeof(subscription{}), 144},
		{"held filter", unsafe.Sizeof(held{}), 144},
	} {
		if tt.got > tt.most {
			t.Errorf("a %s has %d bytes; want at most %d", tt.name, tt.got, tt.most)
		}
	}
}
