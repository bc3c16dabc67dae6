package agent

import (
	"testing"

	"github.com/baton-db/baton/internal/core/detect"
	"github.com/baton-db/baton/internal/db"
)

// Only a write that was made, or refused by order, shows that the server works;
// and the user's statement has to have its table.
func TestTheAnswersToAWriteInTheWordsOfDetection(t *testing.T) {
	for verdict, want := range map[db.Verdict][2]detect.WriteEnd{
		db.Done:               {detect.WriteDone, detect.WriteDone},
		db.AckWait:            {detect.WriteAnswered, detect.WriteAnswered},
		db.LockWait:           {detect.WriteLocked, detect.WriteLocked},
		db.ReadOnly:           {detect.WriteAnswered, detect.WriteAnswered},
		db.NoSchema:           {detect.WriteAnswered, detect.WriteFailed},
		db.Killed:             {detect.WriteAnswered, detect.WriteAnswered},
		db.TooManyConnections: {detect.WriteNoSlot, detect.WriteNoSlot},
		db.DiskFull:           {detect.WriteNoRoom, detect.WriteNoRoom},
		db.DiskReadOnly:       {detect.WriteNoDisk, detect.WriteNoDisk},
		db.NoAnswer:           {detect.WriteSilent, detect.WriteSilent},
		db.Denied:             {detect.WriteFailed, detect.WriteFailed},
		db.Lost:               {detect.WriteFailed, detect.WriteFailed},
		db.Failed:             {detect.WriteFailed, detect.WriteFailed},
	} {
		if got := [2]detect.WriteEnd{ownEnd(verdict), businessEnd(verdict)}; got != want {
			t.Errorf("%s: %v, want %v", verdict, got, want)
		}
	}
}
