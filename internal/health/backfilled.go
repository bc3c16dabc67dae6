package health

import "github.com/baton-db/baton/internal/core/cluster"

func backFilled() []Row {
	return []Row{
		{cluster.BackFilled, Normal,
			"Whatever the dead primary had logged is on the new one.",
			"Its server was dead and its agent answered: the new primary replicated the end of its binary log, to the last whole transaction, before it served.",
			"Says in `baton history` how many transactions that were.",
			"Nothing."},
		{cluster.BackFillIncomplete, Warning,
			"The newest transactions of the primary before may be lost.",
			"durability.mode is async, and not all of its binary log could be fetched before the promotion: the detail says whether its host was silent, its server not dead, the time over (durability.back_fill), or the log purged or of a kind that cannot be read. Where the log could be looked through, the number is exact and the GTIDs are named.",
			"Goes on with what is whole. Once that server is back, what it alone has is reported as errant, written down, and the server is held: nothing is discarded.",
			"Look at `baton lost` when it is back, and carry out what is still wanted. If the time was too short, raise durability.back_fill; if nothing may be lost, use lossless."},
		{cluster.BackFillDiverged, Warning,
			"The binary log of the primary before does not continue what the new one has.",
			"Each of the two has a transaction that the other has not; the detail names it.",
			"Brings nothing over: what follows a fork would be applied to other rows than it was made for. Goes on, and the old server is held as diverged when it is back.",
			"Find out who wrote on which of the two (errant-transactions), and see `baton lost`."},
	}
}
