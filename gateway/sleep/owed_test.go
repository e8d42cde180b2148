package sleep

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// moody is a keeper that refuses writes while it is told to, as Redis does that is out of memory.
type moody struct {
	Keeper
	mu      sync.Mutex
	refuses bool
	trips   int // of Forget
}

func (m *moody) refuse(yes bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuses = yes
}

func (m *moody) err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuses {
		return errors.New("OOM command not allowed")
	}
	return nil
}

func (m *moody) Keep(ctx context.Context, id string, data []byte, ttl time.Duration) error {
	if err := m.err(); err != nil {
		return err
	}
	return m.Keeper.Keep(ctx, id, data, ttl)
}

func (m *moody) Forget(ctx context.Context, ids ...string) error {
	if err := m.err(); err != nil {
		return err
	}
	m.mu.Lock()
	m.trips++
	m.mu.Unlock()
	return m.Keeper.Forget(ctx, ids...)
}

func (m *moody) want(t *testing.T, id, want string) {
	t.Helper()
	stored, err := m.Load(t.Context(), id)
	if _, got := readHead(stored.Data); string(got) != want || err != nil {
		t.Errorf("the keeper has %q, %v of %s; want %q", got, err, id, want)
	}
}

// What Redis refuses to write is written when it takes it again, the newest word alone; meanwhile it is known here.
func TestWhatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &moody{Keeper: NewKeeper(nil, "")}
		s := New(m, func() {})
		defer s.Close()
		for _, id := range []string{"a", "b", "c"} {
			_ = s.Keep(t.Context(), id, []byte("old"), time.Hour)
		}
		m.refuse(true)
		for _, id := range []string{"a", "b"} {
			if err := s.Keep(t.Context(), id, []byte("new"), time.Hour); err == nil {
				t.Errorf("Keep(%s) = nil though Redis refuses", id)
			}
		}
		_ = s.Forget(t.Context(), "c")
		if got, _ := s.Load(t.Context(), "a"); string(got.Data) != "new" {
			t.Errorf("Load(a) = %q; want what is owed", got.Data)
		}
		time.Sleep(time.Minute)
		m.want(t, "a", "old")
		m.refuse(false)
		_ = s.Keep(t.Context(), "b", []byte("newest"), time.Hour)
		time.Sleep(time.Minute)
		m.want(t, "a", "new")
		m.want(t, "b", "newest")
		m.want(t, "c", "")
	})
}

// What is not urgent goes in few round trips, and no later than the store's end.
func TestWhatIsForgottenSoonGoesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &moody{Keeper: NewKeeper(nil, "")}
		s := New(m, func() {})
		for i := range 3 * owedBatch {
			_ = s.Keep(t.Context(), fmt.Sprint(i), []byte("x"), time.Hour)
			s.ForgetSoon(fmt.Sprint(i))
		}
		time.Sleep(time.Minute)
		m.want(t, "7", "")
		if m.trips != 3 {
			t.Errorf("%d round trips; want 3", m.trips)
		}
		_ = s.Keep(t.Context(), "last", []byte("x"), time.Hour)
		s.ForgetSoon("last")
		s.Close()
		m.want(t, "last", "")
	})
}

// A new word about a record is not overtaken by an older one.
func TestAnOwedRecordNeverReplacesANewerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &moody{Keeper: NewKeeper(nil, "")}
		s := New(m, func() {})
		defer s.Close()
		s.ForgetSoon("a")
		_ = s.Keep(t.Context(), "a", []byte("new"), time.Hour)
		time.Sleep(time.Minute)
		m.want(t, "a", "new")
	})
}

func TestWhatIsOwedIsBounded(t *testing.T) {
	o := owed{records: map[string]owedRecord{}, wake: make(chan struct{}, 1)}
	for i := range 1000 {
		o.owe(fmt.Sprint(i), owedRecord{data: make([]byte, 64<<10)}, false)
	}
	if o.bytes > maxOwedBytes || len(o.records) < 100 {
		t.Errorf("%d records of %d bytes are owed; want at most %d bytes", len(o.records), o.bytes, maxOwedBytes)
	}
	o.owe("0", owedRecord{data: make([]byte, maxOwedBytes)}, false)
	if _, known := o.records["0"]; known {
		t.Error("an older word is kept where there is no room for the newer one")
	}
	for id, r := range o.records {
		o.drop(id, r)
	}
	if o.bytes != 0 {
		t.Errorf("%d bytes are owed of nothing", o.bytes)
	}
}
