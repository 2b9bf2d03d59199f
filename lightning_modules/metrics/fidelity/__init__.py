"""Scores of an image against the one it should be: PSNR, SSIM, MS-SSIM, MAE; of a matte: SAD, MSE, Grad, Conn."""
