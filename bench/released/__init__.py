"""The training of the released BaS-Net, UM and BackTAL code restated, with everything that makes it slow.

The modules carry the parameter names of the released checkpoints, so weights of wtal_fast.models load as they are.
"""
