package subs

import (
	"flag"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	histories = flag.Int("histories", 0, "how many histories TestTheClientGetsWhatItMayRead plays; 0: the usual number")
	seed      = flag.Uint64("seed", 0, "the only history to play, as a failure has printed it")
)

// The client gets exactly what it may read, once, and the broker holds nothing that nobody wants: in a hundred thousand
// histories against a model broker.
func TestTheClientGetsWhatItMayRead(t *testing.T) {
	n := *histories
	if n == 0 {
		n = 100_000
		if raceEnabled || testing.Short() {
			n = 2_000
		}
	}
	if *seed != 0 {
		play(t, *seed)
		return
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	var playing sync.WaitGroup
	var next atomic.Uint64
	for range runtime.GOMAXPROCS(0) {
		playing.Go(func() {
			for !t.Failed() {
				i := next.Add(1)
				if i > uint64(n) {
					return
				}
				play(t, i)
			}
		})
	}
	playing.Wait()
}

// wrong is what a history panics with that has not gone as it should.
type wrong string

// play plays a history, and once more, telling what happens, if it does not go as it should.
func play(t *testing.T, seed uint64) {
	for _, told := range []bool{false, true} {
		text := func() (text wrong) {
			defer func() {
				switch r := recover().(type) {
				case nil:
				case wrong:
					text = r
				default:
					panic(r)
				}
			}()
			random := rand.New(rand.NewPCG(seed, 0))
			newHistory(random.IntN, told).play(5)
			return ""
		}()
		if text == "" {
			return
		}
		if told {
			t.Errorf("-seed=%d\n%s", seed, text)
		}
	}
}

// FuzzTable plays histories whose choices are the input's bytes.
func FuzzTable(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		choice := func(n int) int {
			if len(data) == 0 {
				return 0
			}
			c := int(data[0]) % n
			data = data[1:]
			return c
		}
		newHistory(choice, true).play(min(len(data)/4, 60))
	})
}
