"""Train a thermometer: the `train` command of the package as a script.

python train.py --config configs/demo.yaml
"""

from thermometer.cli import train_main

if __name__ == "__main__":
    train_main()
