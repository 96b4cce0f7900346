//! stub
#[derive(Debug, Clone, Default)]
pub struct KMeansOptions { pub steps: usize, pub seed: u64 }
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct KMeansError;
#[derive(Debug)]
pub struct Clusters { pub centres: Vec<f32> }
pub fn cluster(points: &[f32], dim: usize, k: usize, o: &KMeansOptions) -> Result<Clusters, KMeansError> {
    let n = points.len() / dim;
    let mut c: Vec<f32> = (0..k).flat_map(|i| points[(i * n / k) * dim..][..dim].to_vec()).collect();
    for _ in 0..o.steps.max(10) {
        let mut sum = vec![0.0; k * dim]; let mut cnt = vec![0.0f32; k];
        for p in points.chunks(dim) {
            let b = (0..k).min_by(|&a, &b| { let d = |j: usize| c[j*dim..(j+1)*dim].iter().zip(p).map(|(x, y)| (x - y).powi(2)).sum::<f32>(); d(a).total_cmp(&d(b)) }).unwrap_or(0);
            cnt[b] += 1.0; for d in 0..dim { sum[b*dim+d] += p[d]; }
        }
        for j in 0..k { if cnt[j] > 0.0 { for d in 0..dim { c[j*dim+d] = sum[j*dim+d]/cnt[j]; } } }
    }
    Ok(Clusters { centres: c })
}
