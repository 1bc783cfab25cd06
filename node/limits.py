"""Every number that bounds something, with its reason.

A number without a reason does not enter. What a peer must know is also in the node
document (`/.well-known/willcall`). Spec: 01 §limits.
"""

from node.units import DAY, GIB, HOUR, KIB, MIB, MINUTE, SECOND, ByteCount, Instant, Millis

# --- encoding -------------------------------------------------------------------------

LEVELS = 6
"""Maps and arrays inside each other: what the deepest object needs, plus `ext`."""
VALUES = 4_096
"""Items of arrays and entries of maps in one object: a root of 1,024 parts has 3,083."""
ANSWER_VALUES = 16_384
"""The same in one answer: 64 for each item of a batch, twice the largest record's."""
INTEGER = 2**53 - 1
"""Largest integer: what every language's JSON and float can hold exactly."""
EXT = ByteCount(64)
"""An `ext` map with its head: room for a hash, none for advertising."""

# --- objects --------------------------------------------------------------------------

ROOT = ByteCount(64 * KIB)
"""A message root: one pickup, one small block."""
BODY = ByteCount(48 * KIB)
"""Ciphertext carried inside the root; larger goes into parts."""
PART = ByteCount(1 * MIB)
"""Plaintext of every part but the last: one file, one request."""
ROOT_FRAME = ByteCount(512)
"""A root without its content: keys, commitment, signature, heads are 350 bytes."""
PART_FRAME = ByteCount(96)
"""What a part costs beside its plaintext: its seal, and its name and size in the root."""
SEAL = ByteCount(16)
"""What Poly1305 adds to a part."""
BLOCK = ByteCount(PART + SEAL)
"""The largest block that is stored or served."""
NOTIFICATION = ByteCount(512)
"""The largest notification: it fits in full, with no byte to spare for words."""
BATCH = 256
"""Items of one batch, messages of one receipt, CIDs of one block request."""
NOTIFICATIONS = ByteCount(132_096)
"""The largest batch: 256 items of 512 bytes and their heads."""
EVIDENCE = ByteCount(1 * KIB)
"""A notification with its proof (8 hashes deep)."""
RECEIPT = ByteCount(11_264)
"""256 links and the frame."""
SMALL = ByteCount(512)
"""A retraction, and a poll."""
RECORD = ByteCount(1 * KIB)
"""An address record: four origins with pins and a name fit."""
INTRODUCTION = ByteCount(2 * KIB)
"""A record and its frame."""
ORIGINS = 4
"""Origins of one record: a home, a spare, a move in progress."""
ORIGIN = ByteCount(100)
"""`host:port`; longer DNS names exist and nobody types them."""
NAME = ByteCount(64)
"""A display name: long enough for people, too short for a slogan."""
ABOUT = ByteCount(1 * KIB)
"""What an owner says of an archive: a key under a long name and four origins fit."""
CAR = ByteCount(16 * MIB)
"""A batch of blocks in one answer, unless a single block is asked for."""
CAR_ANSWER = ByteCount(CAR + 64 * KIB)
"""The same with the CAR header and the frames of 256 blocks."""
ANSWER = ByteCount(RECEIPT + 256)
"""One answer, and each of those to a batch: a receipt at its largest, its state, the heads."""
POLL_ANSWER = ByteCount(192 * KIB)
"""256 notifications in batches of one: 168 KiB; in one batch they are 129."""

# --- times ----------------------------------------------------------------------------

CLOCK_SKEW = Millis(10 * MINUTE)
"""How far from now an `issued` may lie: worse clocks are broken ones."""
KEEP_DEFAULT = Millis(30 * DAY)
"""How long mail waits unless said otherwise: a holiday."""
KEEP_LONGEST = Millis(400 * DAY)
"""How long it may wait at most; sealing keys are kept as long."""
GRACE = Millis(14 * DAY)
"""Blocks stay after the first receipt: a recipient restored from an old backup asks again."""
INVITE_DEFAULT = Millis(7 * DAY)
"""An invite is for this week."""
DELAYED = Millis(2 * HOUR)
"""When a person wants to know that something is slow."""
RETRIES: tuple[Millis, ...] = (
    Millis(5 * SECOND),
    Millis(30 * SECOND),
    Millis(2 * MINUTE),
    Millis(450 * SECOND),
    Millis(15 * MINUTE),
    Millis(30 * MINUTE),
    Millis(1 * HOUR),
    Millis(2 * HOUR),
    Millis(4 * HOUR),
    Millis(8 * HOUR),
    Millis(1 * DAY),
)
"""Pauses between attempts: fast while both are likely up, daily in the end."""
JITTER = 0.2
"""Share by which a pause is moved, so that a thousand senders don't come back together."""
HELD_RETRY = Millis(7 * DAY)
"""A person decides, and may not; asking weekly costs 358 bytes."""
REFUSED_RETRY = Millis(1 * DAY)
"""A contact that refused may be repaired tomorrow."""
HEARD_PAUSE = Millis(1 * HOUR)
"""Held and refused rows are tried again when the peer is heard from, but this seldom."""
HEARD_AGAIN = Millis(1 * MINUTE)
"""A silent peer that is heard from is tried at once, but this seldom: its record may name a third
party, which then gets three calls a minute and not one for each of the peer's."""
CLOCK_STEP = Millis(1 * DAY)
"""A wall clock that moved by more against the monotonic one is not believed."""
CLOCK_HOLD = Millis(1 * DAY)
"""For so long nothing expires or is swept after such a step."""
POLL_INSTEAD = Millis(5 * MINUTE)
"""The same where a contact can't call us: how long mail may wait for want of a notification."""
POLL_EVERY = Millis(6 * HOUR)
"""A running node asks its contacts this often; notifications do the rest."""
POLLS = 64
"""Polls of one peer in a row: 16,384 deliveries; who has more, or says so for ever, waits."""
POLLS_PAUSE = Millis(1 * MINUTE)
"""Then it is asked on."""
POLLED_BURST = 64 * 256
"""Items (and polls without any, and rows looked at for what was lost) that one contact is answered
with at once: each is a sealed box, 50 microseconds, made anew for every poll. As many as an honest
one asks for in a row."""
POLLED_EVERY = Millis(25)
"""Then one more: a contact can take 0.2 % of a processor by polling, and no more."""
BACKUP_VERIFIED = Millis(30 * DAY)
"""How old what the newest verified backup holds may be before somebody is reminded: a month of mail
is what most people could bear to lose."""
SEALING_KEPT = Millis(400 * DAY)
"""Old sealing keys open what was sealed to them: as long as mail may wait."""
SEALING_KEYS = 4
"""Keys tried on one box, newest first: bounds the work a box can cause."""
UNREADABLE_AFTER = 3
"""Pickups of bytes that never verified before the sender is told."""

SEEK_AFTER = 4
"""Attempts in a row without answer, ten minutes, before directories are asked: a restart is over
by then."""
SEEK_PAUSE = Millis(10 * MINUTE)
"""For one peer directories are asked this seldom, whatever is written to it."""
SEEK_KEYS = 4_096
"""Peers that are looked for at a time: a node's contacts."""

# --- archives -------------------------------------------------------------------------

FOLLOW_EVERY = Millis(15 * MINUTE)
"""A followed archive is asked so often: mail that nobody waits for."""
FOLLOW_LONGEST = Millis(1 * DAY)
"""One that does not answer is asked daily in the end; one that says so is not asked sooner."""
FOLLOW_ADDRESSES = 8
"""Addresses of one followed archive: its publisher's and some mirrors."""
READERS = 1_000
"""Readers of a private archive: a large association. Each costs a box of 80 bytes."""
ARCHIVE_KEYS = 2_048
"""Keys of one log, one more with each removal of a reader; then a new epoch begins afresh."""
READERS_OBJECT = ByteCount(512 * KIB)
"""What is said of them: 1,000 readers of 143 bytes, 2,048 keys of 98, and room."""
READING = Millis(5 * MINUTE)
"""A reader shows the same signature for so long: half of what a clock may be wrong."""
FOLLOW_GROUP = ByteCount(12 * MIB)
"""Content asked for in one request, by what its entries say; an answer is 16 MiB at most."""

# --- directories ----------------------------------------------------------------------

DIRECTORY_KEPT = Millis(30 * DAY)
"""A directory forgets who did not come by for so long; owners come by weekly."""
DIRECTORY_AGAIN = Millis(7 * DAY)
"""How often owners come by."""
DIRECTORY_RECORDS = 100_000
"""Records of one directory: 120 MiB."""
DIRECTORY_NETWORK = 256
"""Records from one /24 or /48: many homes behind one address translation."""
DIRECTORY_OFFERS = 30
"""Offers an hour from one network: a node comes by once, its neighbours too."""
DIRECTORY_CALLS = 120
"""Call-backs an hour to one origin, whoever asks for them: what a third party hardly notices."""
DIRECTORY_SOURCES = 4_096
"""Networks, and origins, that are counted at a time; more wait for the next hour."""
DIRECTORIES = 8
"""Directories that can be configured: each hears of every contact that is looked for."""
DIRECTORY_SEEDS = 5
"""Seeds that keep one key's record: three may be gone or lying."""

# --- strangers ------------------------------------------------------------------------

YOUNG = Millis(90 * DAY)
"""A domain younger than this is *young*: bought for one campaign, as a rule."""
NETWORK_BURST = 256
"""Items of strangers from one /24 or /48 that are checked at once: one full batch."""
NETWORK_EVERY = Millis(15 * SECOND)
"""Then one more: a large provider's users write to one node's strangers less often."""
PAIR_BURST = 16
"""Items of one key for one owner that are checked at once; one of them can take the slot."""
PAIR_EVERY = Millis(1 * HOUR)
"""Then one more."""
DOMAIN_BURST = 64
"""Items under one proven domain that may come to the ring at once: a third of it."""
DOMAIN_EVERY = Millis(5 * MINUTE)
"""Then one more."""
SOURCES = 16_384
"""Networks, pairs and domains with a bucket of their own; the others share one."""
FRIENDS = 1_024
"""Addresses of contacts that are remembered, whose requests begin before strangers'."""
LOBBY = 1_024
"""Items of strangers that wait in memory for the DNS, and as many that nobody has looked at yet:
1.5 MiB each."""
LOOKUPS = 32
"""Look-ups under way for strangers: slow name servers cost their own visitors most."""
LOOKUP_DOMAIN = 120
"""Look-ups an hour of names under one registrable domain: two a minute are nobody's flood."""
LOOKUP_SHARE = 8
"""Of them for one network: whoever wants to keep a domain's owner out needs fifteen."""
LOOKUP_NETWORK = 30
"""Look-ups an hour of the names of one network's addresses."""
LOOKUP_KEPT = Millis(10 * MINUTE)
"""How long what the DNS said is believed without being asked again."""
CALLBACK_AGAIN = Millis(1 * HOUR)
"""Until an origin that answered is called again: what must be always on has to be."""
CALLBACK_ORIGIN = Millis(1 * HOUR)
"""One origin is called back this seldom."""
CALLBACK_DOMAIN = 12
"""Calls an hour to origins under one registrable domain."""
CALLBACK_HOUR = 720
"""Calls an hour in all: the two for each slot of a ring, and as much again for others."""
CALLBACK_BURST = 240
"""Of them at once: the first call for a whole ring. Each takes two milliseconds of a processor, and
a flood that changes slots all the time must not buy the hour's in a minute."""
CALLBACK_TRIES = 4
"""Calls without answer before the slot is emptied."""
STANDING = Millis(7 * DAY)
"""How long an origin that answered twice need not do so again: until the next weekly retry."""
REGISTRATION_KEPT = Millis(30 * DAY)
"""How long a registry's word on a domain is kept; the date never changes."""
REGISTRIES_HOUR = 120
"""Questions an hour to all registries: they cut off who asks more."""
DOMAINS = 100_000
"""Proven domains whose first sight is remembered: 20 MiB."""
BARRED = 1_024
"""Domains and networks an owner can block: more than a person writes."""
VOUCHES = 64
"""Strangers that one contact can vouch for."""

# --- capacity -------------------------------------------------------------------------

MESSAGE_DEFAULT = ByteCount(64 * MIB)
"""Largest message unless configured: more than any mail provider takes."""
MESSAGE_LARGEST = ByteCount(1 * GIB)
"""Largest that can be configured: 1,024 parts keep the root under 64 KiB."""
QUOTA_DEFAULT = ByteCount(5 * GIB)
"""One owner: years of mail, a corner of a small disk."""
ASK_OVER = ByteCount(10 * MIB)
"""Larger accepted mail waits at its sender until its owner calls for it."""
TOKENS = 64
"""Tokens of one owner: more devices than a person has, and a list that can be read."""
SUCCESSIONS = 16
"""Keys of one person that are followed, one to the next: more than anybody loses."""
MADE_BY_ONE = 50_000
"""Mail that is not here yet, failed or was withdrawn, of which one contact may have told: a list of
1,000 letters a day that nobody called for in seven weeks. Nobody's quota pays for such rows; they
take 100 MiB at most. Who tells of more is told to come again."""
RING = 200
"""Slots for strangers: what a person can look through."""
SMALL_BLOCK = ByteCount(64 * KIB)
"""Blocks up to this size live in LevelDB, larger ones in files."""
SEEN = 16_384
"""Exact bytes remembered as seen before: 250 bytes each with the usual answer, 4 MiB; at most
1.3 KiB with its answer, 20 MiB."""
SEEN_ANSWER = ByteCount(1 * KIB)
"""An answer remembered with them, compressed: 256 times `held` takes 60 bytes, 256 words in an
order without a rule 600. Above are answers with the records of several owners, made anew."""
ATTEMPTS_KEPT = 20
"""Attempts shown by `status`: the schedule's whole first day and ten more."""
SCANNED = ByteCount(64 * KIB)
"""How much of a message is looked at for its subject and date."""


def files_in(message: int) -> ByteCount:
    """Bytes of attached files that fit into a message: 57 of them make a line of 78, RFC 2045 §6.8.

    What stands before and between them is a page at most.
    """
    return ByteCount(max(0, message - 4 * KIB) * 57 // 78)


def keep_until_limit(issued: Instant) -> Instant:
    """The last moment a notification issued at `issued` may name."""
    return Instant(issued + KEEP_LONGEST)


# --- watching -------------------------------------------------------------------------

DISK_LOW = ByteCount(64 * MIB)
"""Free room below which a node is not well and takes no new mail: receipts, retractions and
deletions go on in it, and LevelDB needs 32 MiB to open anew after a write that failed."""
DISK_TIGHT = ByteCount(1 * GIB)
"""Free room below which `doctor` says so: a busy month of a small group."""
