//! What the words mean.

pub(super) const TERMS: [(&str, &str); 13] = [
    ("Reference", "The same checkpoint in FP32, on the same requests."),
    (
        "Top-k overlap",
        "Of the k candidates that the reference puts first, the share that is still among the first k.",
    ),
    (
        "Ties forgiven",
        "Candidates whose reference scores are closer than a small part of the standard deviation (sd) of the \
         request’s scores may swap places: nobody could tell which belongs first.",
    ),
    ("5th percentile", "Requests sorted by overlap: one in 20 lies below this."),
    (
        "Kendall’s τ",
        "Pairs of candidates in the same order, less those in the other order, as a share of all pairs. 1 is the \
         same order, 0 is chance, −1 is reversed.",
    ),
    (
        "DC",
        "Distribution consistency: how far the ranker’s distribution over candidates is from the generator’s, in \
         nats. What matters here is that it does not move.",
    ),
    (
        "Score error",
        "Root mean square of the change of a request’s scores, in standard deviations of these scores (sd).",
    ),
    (
        "Head, torso, tail",
        "Items by how often they occur: few frequent ones, the middle, many rare ones.",
    ),
    (
        "Scale",
        "What one step of an 8-bit code is worth. Activations have one, weights one per output channel.",
    ),
    ("Clip", "The magnitude that becomes the largest code; larger ones are cut to it."),
    (
        "Smoothed",
        "Factors per channel moved from the activation into the weight, so that outliers need fewer codes.",
    ),
    ("Dead channel", "An output channel whose weights are all 0."),
    ("Units", "1 kB is 1,000 bytes; k, M and G count thousands, millions and thousand millions."),
];
