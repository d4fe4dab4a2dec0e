"""PCA-based knowledge distillation of photorealistic style-transfer models (Chiu & Gurari, CVPR 2022)."""
