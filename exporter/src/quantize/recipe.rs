//! From a calibration to a plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use onr_calibration::{Calibration, CalibrationError, Method, TensorStats};
use onr_onnx::{ElemType, Model, floats};
use onr_precision::{
    Plan,
    qdq::{Format, Site, sites},
    smooth::{factors, norm_before},
};
use rayon::prelude::*;

use crate::error::ExportError;

/// The products with weights of this architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// `n @ uvqk` of every block: four fifths of a block's weight.
    Uvqk,
    /// `y @ out` of every block: its input, norm times gate, has a heavy tail.
    Out,
    /// `item @ candidate_proj`.
    Candidate,
    /// `h @ rank_proj`.
    Rank,
    /// `task_states @ user_proj`.
    User,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 5] = [Self::Uvqk, Self::Out, Self::Candidate, Self::Rank, Self::User];

    /// The word of `--quantize`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uvqk => "uvqk",
            Self::Out => "out",
            Self::Candidate => "candidate",
            Self::Rank => "rank",
            Self::User => "user",
        }
    }

    /// The part that a product belongs to, by its weight.
    #[must_use]
    pub fn of(site: &Site) -> Option<Self> {
        let weight = site.weight.strip_suffix(".weight")?;
        match weight.rsplit('.').next()? {
            "uvqk" => Some(Self::Uvqk),
            "out" => Some(Self::Out),
            "candidate_proj" => Some(Self::Candidate),
            "rank_proj" => Some(Self::Rank),
            "user_proj" => Some(Self::User),
            _ => None,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|p| p.name() == text)
            .ok_or_else(|| format!("`{text}` is no part of the model; known: {}", known()))
    }
}

/// How a plan is made.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Format and ranges.
    pub coding: Coding,
    /// Which products.
    pub parts: BTreeSet<Part>,
    /// Parts whose activations are smoothed, with the exponent of SmoothQuant.
    pub smooth: BTreeMap<Part, f32>,
    /// Nodes left as they are, by canonical name.
    pub keep: BTreeSet<String>,
}

impl Recipe {
    /// What `--precision int8` and `fp8` mean.
    ///
    /// INT8 has even steps: the tail of `out`'s input makes them too coarse. FP8 has the same relative error
    /// everywhere, so the tail does no harm, but the error does where scores come from: `candidate_proj`.
    #[must_use]
    pub fn new(format: Format) -> Self {
        let second = match format {
            Format::Int8 => Part::Candidate,
            Format::Fp8 => Part::Out,
        };
        Self {
            coding: Coding { format, method: Method::Percentile(Method::DEFAULT_PERCENTILE) },
            parts: BTreeSet::from([Part::Uvqk, second]),
            smooth: BTreeMap::new(),
            keep: BTreeSet::new(),
        }
    }
}

/// One name for what is the same value: `append` computes what `encode` would have, so both get
/// one range.
#[must_use]
pub fn canonical(name: &str) -> String {
    match name.strip_prefix("append.") {
        Some(rest) => format!("encode.{rest}"),
        None => name.to_owned(),
    }
}

/// What becomes of a product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decision {
    /// It stays as it is.
    Wide,
    /// It runs on 8-bit numbers.
    Narrow,
    /// It runs on 8-bit numbers; its activation is smoothed with this exponent, where a norm in front can
    /// take that up.
    Smoothed(f32),
}

/// How ranges become codes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coding {
    /// The 8-bit format.
    pub format: Format,
    /// How ranges are read off the histograms.
    pub method: Method,
}

/// Makes a plan for the graphs of a model, by name, all of which share their ranges.
///
/// # Errors
/// [`ExportError::Calibration`] when the calibration lacks a value or a range can't be read off it.
pub fn plan(
    graphs: &[(String, Model)],
    calibration: &Calibration,
    coding: Coding,
    decide: &dyn Fn(&Site) -> Decision,
) -> Result<Plan, ExportError> {
    let mut products = Vec::new();
    for (graph, model) in graphs {
        let chosen = sites(model).into_iter().filter(|site| decide(site) != Decision::Wide);
        products.extend(chosen.map(|site| Product { graph, model, site }));
    }
    let measured = Measured::gather(&products, calibration)?;
    let mut smooth = BTreeMap::new();
    for product in &products {
        if let Decision::Smoothed(alpha) = decide(&product.site)
            && !smooth.contains_key(&product.site.weight)
            && norm_before(product.model, &product.site).is_some()
        {
            smooth.insert(product.site.weight.clone(), measured.factors(product, alpha)?);
        }
    }
    let clips = measured.clips(coding)?;
    let clip = |site: &Site| {
        let name = canonical(&site.node);
        let shrunk = smooth.get(&site.weight).map(|f| shrunk(&measured.stats[&name], f));
        (site.node.clone(), clips[&name] * shrunk.unwrap_or(1.0))
    };
    let clips = products.iter().map(|product| clip(&product.site)).collect();
    let format = (!products.is_empty()).then_some(coding.format);
    Ok(Plan { format, products: clips, smooth, ..Plan::default() })
}

/// A product and where it is.
struct Product<'a> {
    graph: &'a str,
    model: &'a Model,
    site: Site,
}

/// By how much smoothing shrinks the largest magnitude.
fn shrunk(stats: &TensorStats, factors: &[f32]) -> f32 {
    let maxima = stats.channel_maxima().unwrap_or_default();
    let before = maxima.iter().copied().fold(0.0, f32::max);
    let after = maxima.iter().zip(factors).map(|(m, f)| m / f).fold(0.0, f32::max);
    if before > 0.0 { after / before } else { 1.0 }
}

impl Recipe {
    /// What becomes of a product.
    #[must_use]
    pub fn decide(&self, site: &Site) -> Decision {
        let part = Part::of(site).filter(|part| self.parts.contains(part));
        match part {
            Some(part) if !self.keep.contains(&canonical(&site.node)) => {
                self.smooth.get(&part).map_or(Decision::Narrow, |alpha| Decision::Smoothed(*alpha))
            }
            _ => Decision::Wide,
        }
    }
}

/// Statistics of the activations of products, by the canonical name of the product, over all graphs.
struct Measured {
    stats: BTreeMap<String, TensorStats>,
    /// Canonical products by weight.
    readers: BTreeMap<String, BTreeSet<String>>,
}

impl Measured {
    fn gather(products: &[Product<'_>], calibration: &Calibration) -> Result<Self, ExportError> {
        let mut stats: BTreeMap<String, TensorStats> = BTreeMap::new();
        let mut readers = BTreeMap::<_, BTreeSet<_>>::new();
        for Product { graph, site, .. } in products {
            let name = canonical(&site.node);
            let seen = calibration.tensor(graph, &site.activation)?;
            match stats.get_mut(&name) {
                Some(sum) => sum.merge(seen)?,
                None => drop(stats.insert(name.clone(), seen.clone())),
            }
            readers.entry(site.weight.clone()).or_default().insert(name);
        }
        for (name, stats) in &stats {
            if let Some(value) = stats.constant() {
                let (tensor, count) = (format!("activation of {name}"), stats.finite());
                return Err(CalibrationError::Constant { tensor, value, count }.into());
            }
        }
        Ok(Self { stats, readers })
    }

    fn clips(&self, coding: Coding) -> Result<BTreeMap<String, f32>, CalibrationError> {
        let clip = |(name, stats): (&String, &TensorStats)| {
            let clip = coding.method.clip(stats, coding.format.target());
            let refuse = |cause| CalibrationError::Range {
                graph: "all".into(),
                tensor: name.clone(),
                cause,
            };
            Ok((name.clone(), clip.map_err(refuse)?))
        };
        self.stats.par_iter().map(clip).collect()
    }

    /// Factors of a weight, from all activations that it multiplies.
    fn factors(&self, product: &Product<'_>, alpha: f32) -> Result<Vec<f32>, ExportError> {
        let Product { model, site, .. } = product;
        let mut activation = vec![0.0_f32; site.depth];
        for name in &self.readers[&site.weight] {
            let maxima = self.stats[name].channel_maxima().unwrap_or_default();
            for (most, one) in activation.iter_mut().zip(maxima) {
                *most = most.max(*one);
            }
        }
        let values = match model.initializer(&site.weight) {
            Some(stored) => {
                let elem = stored.data_type.and_then(ElemType::of).unwrap_or(ElemType::Float);
                floats(elem, &model.bytes(stored)?).unwrap_or_default()
            }
            None => Vec::new(),
        };
        let rows = values.chunks(site.channels);
        let weight: Vec<f32> =
            rows.map(|row| row.iter().fold(0.0_f32, |most, x| most.max(x.abs()))).collect();
        Ok(factors(&activation, &weight, alpha))
    }
}
