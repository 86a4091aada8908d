package jobs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSunday compares every day and range of days with the days that they name, Sunday being 0, 7 or its name.
func TestSunday(t *testing.T) {
	t.Parallel()
	names := append(slices.Clone(weekdays), "7")
	for from := range 8 {
		checkDays(t, fmt.Sprint(from), from)
		checkDays(t, names[from], from)
		for to := from; to < 8; to++ {
			for step := 1; step < 9; step++ {
				var want []int
				for day := from; day <= to; day += step {
					want = append(want, day)
				}
				checkDays(t, fmt.Sprintf("%d-%d/%d", from, to, step), want...)
				checkDays(t, fmt.Sprintf("%s-%s/%d", names[from], names[to], step), want...)
			}
			checkDays(t, fmt.Sprintf("3,%d-%d", from, to), append(daysOf(from, to), 3)...)
		}
	}
	checkDays(t, "fri-sun", 5, 6, 0)
	checkDays(t, "FRI-SUN,mon", 5, 6, 0, 1)
	checkDays(t, "07", 0)
	checkDays(t, "*", daysOf(0, 6)...)
	checkDays(t, "?", daysOf(0, 6)...)
	checkDays(t, "*/2", 0, 2, 4, 6)
	for _, wrong := range []string{"8", "1-8", "7-1", "sun-x", "1-7/0", "1-7/x", "-7", "7-", "1-7-7", "7/x",
		"fri-mon"} {
		if _, err := ParseSchedule("0 0 * * " + wrong); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: got %v, want an error that names it", wrong, err)
		}
	}
}

func daysOf(from, to int) (days []int) {
	for day := from; day <= to; day++ {
		days = append(days, day)
	}
	return days
}

// checkDays compares the days of the next two weeks on which a schedule starts its job.
func checkDays(t *testing.T, field string, days ...int) {
	t.Helper()
	schedule, err := ParseSchedule("0 0 * * " + field)
	if err != nil {
		t.Errorf("%s: %v", field, err)
		return
	}
	want := map[time.Weekday]bool{}
	for _, day := range days {
		want[time.Weekday(day%7)] = true
	}
	got := map[time.Weekday]bool{}
	begin := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for at := schedule.Next(begin); at.Before(begin.AddDate(0, 0, 14)); at = schedule.Next(at) {
		got[at.Weekday()] = true
	}
	if !maps.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", field, got, want)
	}
}
